import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from '@peftjs/core';
import { ggufFolder, loadGguf } from '@peftjs/gguf';
import { loadTokenizer } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { type CausalLM, generate } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { prompts, storages, writeGgufFiles } from '../src/write-gguf.ts';

interface Record {
  readonly tokens: number;
  readonly files: Readonly<{ [name: string]: string }>;
  readonly texts: Readonly<{ [name: string]: readonly string[] }>;
}

const record = JSON.parse(readFileSync(join(import.meta.dirname, '../data/llamacpp/record.json'), 'utf8')) as Record;
const folder = mkdtempSync(join(tmpdir(), 'peftjs-gguf-'));
const executor = await cpu({ threads: 1 });
beforeAll(() => writeGgufFiles(folder, { executor }), 120_000);
afterAll(async () => {
  await executor.close();
  rmSync(folder, { recursive: true });
});

test.each(Object.entries(record.files))('%s is the file that llama.cpp was given', (name, hash) => {
  const bytes = readFileSync(join(folder, `${name}.gguf`));
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(hash);
});

const continued = async (model: CausalLM, file: string): Promise<string[]> => {
  const tokenizer = await loadTokenizer(await ggufFolder(file));
  const own = await cpu({ threads: 1 });
  const texts: string[] = [];
  for (const prompt of prompts) {
    const ids = await generate(model, { executor: own, prompt: tokenizer.encode(prompt), maxTokens: record.tokens });
    texts.push(tokenizer.decode(ids));
  }
  await own.close();
  return texts;
};

describe('our continuations are those of llama.cpp', () => {
  test.each(storages)('%s', async (storage) => {
    const file = join(folder, `${storage}.gguf`);
    expect(await continued(await loadGguf(file), file)).toEqual(record.texts[storage]);
  });

  test('with the adapter that it loads too', async () => {
    const file = join(folder, 'F16.gguf');
    const { model } = await load(await loadGguf(file), join(folder, 'adapter'), [lora]);
    const texts = await continued(model, file);
    expect(texts).toEqual(record.texts['F16 with adapter']);
    expect(texts).not.toEqual(record.texts['F16']);
  });
});
