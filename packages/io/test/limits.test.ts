import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { loadTokenizer, memoryFiles, openSafetensors, readAdapter } from '../src/index.ts';
import { processorTime } from './processor-time.ts';
import { rawFile } from './raw-safetensors.ts';

const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const inMemory = (path: string, content: Uint8Array | string) => memoryFiles(new Map([[path, content]]));

/** The message of a refusal that takes little time, and is short. */
const soon = async (...[code, action]: Parameters<typeof messageOf>): Promise<string> => {
  const start = processorTime();
  const message = await messageOf(code, action);
  expect(processorTime() - start).toBeLessThan(500);
  expect(message.length).toBeLessThan(1000);
  return message;
};

test('a header of 900,000 tensors is refused before anything is made of it', async () => {
  const entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}';
  const text = `{${Array.from({ length: 900_000 }, (_, i) => `"${i.toString(36)}":${entry}`).join(',')}}`;
  const whole = inMemory('x.safetensors', rawFile(text));
  const most = 32_000_000;
  expect(await soon('bad-safetensors', () => openSafetensors({ files: whole, path: 'x.safetensors' }))).toContain(
    `at most ${most}`,
  );
  const short = Array.from({ length: 200_000 }, (_, i) => `"${i.toString(36)}":{}`).join(',');
  const within = inMemory('x.safetensors', rawFile(`{${short}}`));
  expect(await soon('bad-safetensors', () => openSafetensors({ files: within, path: 'x.safetensors' }))).toContain(
    'the header has more than 100000 tensors',
  );
});

test.each([250, 20_000])('lists nested %i deep are refused in each kind of file', async (depth) => {
  const header = rawFile(`{"a":${nested(depth)}}`);
  await soon('bad-safetensors', () =>
    openSafetensors({ files: inMemory('x.safetensors', header), path: 'x.safetensors' }),
  );
  await soon('bad-tokenizer', () => loadTokenizer(inMemory('tokenizer.json', `{"model":${nested(depth)}}`)));
  await soon('bad-adapter', () => readAdapter(inMemory('adapter_config.json', `{"peft_type":${nested(depth)}}`)));
});
