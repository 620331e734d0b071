import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { writeAdapter } from '../src/adapter/write.ts';
import { writeSafetensors } from '../src/safetensors/write.ts';
import { byteLevel } from './byte-level.ts';
import { filesIn, scratch } from './scratch.ts';

const root = join(import.meta.dirname, '..');

test('the examples of the README run', async () => {
  const dir = await scratch();
  const config = {
    model_type: 'llama',
    vocab_size: 264,
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  };
  const embedding = { dtype: 'F16', shape: [264, 8], data: new Float32Array(264 * 8) } as const;
  await writeFile(join(dir, 'config.json'), JSON.stringify(config));
  await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(byteLevel()));
  await writeSafetensors(join(dir, 'model.safetensors'), new Map([['model.embed_tokens.weight', embedding]]));
  await writeAdapter(
    join(dir, 'adapter'),
    { peft_type: 'LORA' },
    new Map([['a', { shape: [1], data: Float32Array.of(1) }]]),
  );

  const examples = [...(await readFile(join(root, 'README.md'), 'utf8')).matchAll(/```ts\n([^]*?)```/g)];
  const paths = { model: dir, adapter: join(dir, 'adapter'), copy: join(dir, 'copy') };
  let stdout = '';
  for (const [, example] of examples) {
    const code = example!.replace(/'(model|adapter|copy)'/g, (_, name: keyof typeof paths) =>
      JSON.stringify(paths[name]),
    );
    const args = ['--conditions=@peftjs/source', '--import', 'tsx', '--input-type=module', '-e', code];
    stdout += (await promisify(execFile)(process.execPath, args, { cwd: root })).stdout;
  }
  expect(stdout).toContain('Call me Ishmael.');
  expect(stdout).toContain('2112');
  expect(stdout).toContain('Float32Array(2) [ 1, 2 ]');
  expect(await filesIn(join(dir, 'copy'))).toEqual([
    'README.md',
    'adapter_config.json',
    'adapter_digest.json',
    'adapter_model.safetensors',
  ]);
});
