import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { openSafetensors, type WriteTensor, writeSafetensors } from '@peftjs/io';
import { reference } from '@peftjs/tensor';
import { buildModel, parseConfig, randomWeights, saveModel, sequenceClassifier } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { runScript } from './run-script.ts';

const root = join(import.meta.dirname, '../../..');
const examples = join(root, 'examples');
const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8');

/** Leaves the head out of a file, as those of pretrained models have none for classes. */
const withoutHead = async (path: string): Promise<void> => {
  const tensors = new Map<string, WriteTensor>();
  {
    await using reader = await openSafetensors(path);
    for (const name of reader.tensors.keys())
      if (!name.startsWith('classifier.')) tensors.set(name, await reader.read(name));
  }
  await writeSafetensors(path, tensors);
};

describe('the folder of examples', () => {
  test('own-text: the held-out loss falls, a sample, an adapter', async () => {
    const code = await read('examples/own-text/main.ts');
    const { folder, output } = await runScript(code, ['book.txt'], (dir) =>
      writeFile(join(dir, 'book.txt'), 'It was the best of times, it was the worst of times. '.repeat(200)),
    );
    const [losses, ...sample] = (await output).trim().split('\n');
    const [before, after] = losses!.match(/\d+\.\d+/g)!.map(Number);
    expect(after).toBeLessThan(before! - 0.5);
    expect(sample.join('\n')).toMatch(/^It was \S+/);
    expect(await readdir(join(folder, 'my-adapter'))).toContain('adapter_model.safetensors');
  }, 300_000);

  test('classify-texts: tells the classes of its file', async () => {
    const config = await parseConfig({
      ...{ model_type: 'bert', vocab_size: 4096, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2 },
      ...{ intermediate_size: 64, max_position_embeddings: 32 },
    });
    const code = await read('examples/classify-texts/main.ts');
    const { output } = await runScript(code, ['texts.jsonl', 'my-bert'], async (dir) => {
      await copyFile(join(examples, 'classify-texts/texts.jsonl'), join(dir, 'texts.jsonl'));
      const task = sequenceClassifier({ labels: 2 });
      await saveModel(buildModel(config, randomWeights(config, 0, task), task), join(dir, 'my-bert'), {
        executor: reference(),
      });
      await withoutHead(join(dir, 'my-bert/model.safetensors'));
      for (const name of ['tokenizer.json', 'tokenizer_config.json'])
        await copyFile(join(baseModelDir(), name), join(dir, 'my-bert', name));
    });
    expect(await output).toBe('a fine book: good\na poor book: bad\n');
  }, 300_000);

  // Their code is that of pages, which other tests run: in Node, from packed packages, in Chromium.
  test('own-loop, own-method and browser are the code of their pages', async () => {
    expect(await read('docs/guides/own-loop.md')).toContain(
      `\`\`\`ts\n${await read('examples/own-loop/main.ts')}\`\`\``,
    );
    const page = await read('docs/own-method.md');
    const files = [...page.matchAll(/^```ts\n(\/\/ (\S+)\n[^]*?)^```$/gm)];
    for (const [, code, path] of files) expect(await read(`examples/own-method/${path}`)).toBe(code);
    const own = (await readdir(join(examples, 'own-method'), { recursive: true })).filter((path) =>
      path.endsWith('.ts'),
    );
    expect(own.sort()).toEqual(files.map(([, , path]) => path).sort());
    const guide = await read('docs/guides/browser.md');
    for (const name of ['fine-tune.js', 'main.js'])
      expect(guide).toContain(`\`\`\`js\n${await read(`examples/browser/${name}`)}\`\`\``);
  });

  test('each installs what it imports, and nothing of the workspace', async () => {
    const names = (await readdir(examples, { withFileTypes: true })).filter((e) => e.isDirectory()).map((e) => e.name);
    const readme = await read('examples/README.md');
    for (const name of names) {
      expect(readme).toContain(`](${name})`);
      const { dependencies, devDependencies } = JSON.parse(await read(`examples/${name}/package.json`));
      const files = (await readdir(join(examples, name), { recursive: true })).filter((path) => /\.[jt]s$/.test(path));
      const imported = new Set<string>();
      for (const path of files)
        for (const [, from] of (await read(`examples/${name}/${path}`)).matchAll(/\bfrom '([^'.][^']*)'/g))
          if (!from!.startsWith('node:')) imported.add(from!);
      const declared = { ...dependencies, ...devDependencies };
      expect([name, ...[...imported].filter((from) => !(from in declared))]).toEqual([name]);
      expect(
        Object.values(declared).filter((version) => /workspace|catalog|file:|link:/.test(String(version))),
      ).toEqual([]);
    }
  });
});
