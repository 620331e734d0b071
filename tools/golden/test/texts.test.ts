import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { load } from '@peftjs/core';
import { type Files, filesAt } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { ia3 } from '@peftjs/scaling';
import type { Executor, Tensor } from '@peftjs/tensor';
import { causalLM, generate, loadModel, seq2seqLM, type TaskModel } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { executors } from './executors.ts';

interface Text {
  /** A folder of `data/python`. */
  readonly model: string;
  /** That of PEFT's adapter in it. */
  readonly adapter: string | null;
  readonly config: object;
  readonly prompts: readonly (readonly number[])[];
  readonly tokens: readonly (readonly number[])[];
}

const data = join(import.meta.dirname, '../data');
const texts = JSON.parse(await readFile(join(data, 'io/texts.json'), 'utf8')) as readonly Text[];

/** A folder with another generation config. */
const withConfig = async (folder: string, config: object): Promise<Files> => {
  const files = await filesAt(folder);
  const path = 'generation_config.json';
  const bytes = new TextEncoder().encode(JSON.stringify(config));
  return {
    ...files,
    size: async (at) => (at === path ? bytes.length : files.size(at)),
    read: async (at, range) => (at === path ? bytes.slice(range?.start, range?.end) : files.read(at, range)),
    open: (at) => files.open(at),
    list: (within) => files.list(within),
  };
};

const openModel = async ({ model: folder, adapter, config }: Text): Promise<TaskModel<Tensor>> => {
  const isPair = folder.startsWith('families');
  const files = await withConfig(join(data, 'python', folder, isPair ? 'model' : ''), config);
  const base: TaskModel<Tensor> = await loadModel(files, { task: isPair ? seq2seqLM() : causalLM() });
  if (adapter === null) return base;
  return (await load(base, join(data, 'python', folder, adapter, 'adapter'), [lora, ia3])).model;
};

describe.each(executors)('texts on %s', (_, open) => {
  let executor: Executor;
  beforeAll(async () => {
    executor = await open();
  });
  afterAll(() => executor.close());

  test.each(texts)('of $model with adapter $adapter by $config are those of transformers', async (text) => {
    const model = await openModel(text);
    const written = await generate(model, { executor, prompt: text.prompts });
    expect(written).toEqual(text.tokens);
  });
});
