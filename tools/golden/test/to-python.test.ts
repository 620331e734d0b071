import { join } from 'node:path';
import { readAdapter } from '@peftjs/io';
import type { Executor } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { loadModel } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compare } from '../src/compare.ts';
import { modelDir } from '../src/python-golden.ts';
import { readRecord } from '../src/record.ts';
import { trainTinyAdapter } from '../src/tiny-adapter.ts';
import { executors } from './executors.ts';

const tiny = join(import.meta.dirname, '../data/peftjs/tiny');
const [adapterDir, record] = [join(tiny, 'adapter'), join(tiny, 'record.json')];

describe.each(executors)('an adapter saved by us and loaded by Hugging Face PEFT, on %s', (_, open) => {
  let executor: Executor;
  beforeAll(async () => void (executor = await open()));
  afterAll(() => executor.close());

  test('is the one that training gives', async () => {
    const { state } = await trainTinyAdapter(await loadModel(modelDir('plain')), executor);
    const { tensors } = await readAdapter(adapterDir);
    expect([...state.keys()].map((name) => `base_model.model.${name}`).sort()).toEqual([...tensors.keys()].sort());
    for (const [name, v] of state)
      expect(distance(await executor.read(v), tensors.get(`base_model.model.${name}`)!.data), name).toBeLessThan(1e-4);
  });

  test('gave the same logits and losses there', async () => {
    const { logits, loss, baseLoss } = await compare(modelDir('plain'), adapterDir, record, executor);
    expect(logits).toBeLessThan(1e-4);
    expect(loss).toBeLessThan(1e-5);
    expect(baseLoss).toBeLessThan(1e-5);
  });

  test('changes the loss there by far more than that', async () => {
    const { loss, baseLoss } = await readRecord(record);
    expect(Math.abs(loss - baseLoss)).toBeGreaterThan(0.01);
  });

  test('is not compared with other weights than Python saw', async () => {
    await expect(compare(modelDir('llama3-tied'), adapterDir, record, executor)).rejects.toMatchObject({
      code: 'bad-data',
    });
  });
});
