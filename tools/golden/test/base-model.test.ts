import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { expect, test } from 'vitest';
import { compare } from '../src/compare.ts';
import { readRecord, recordedTensors } from '../src/record.ts';

const data = join(import.meta.dirname, '../data');
const record = join(data, 'peftjs/base/record.json');

test('an adapter that the demo trained gave the same logits and losses in Hugging Face PEFT', async () => {
  const executor = await cpu();
  try {
    const { logits, loss, baseLoss } = await compare(
      baseModelDir(),
      join(data, 'peftjs/base/adapter'),
      record,
      executor,
    );
    expect(logits).toBeLessThan(1e-4);
    expect(loss).toBeLessThan(1e-5);
    expect(baseLoss).toBeLessThan(1e-5);
  } finally {
    await executor.close();
  }
});

test('it lowered the loss there on a text that it has not seen', async () => {
  const { loss, baseLoss } = await readRecord(record);
  expect(baseLoss - loss).toBeGreaterThan(0.1);
});

test('that text has the same tokens in Python', async () => {
  const tokenizer = await loadTokenizer(baseModelDir());
  const ids = tokenizer.encode(await readFile(join(data, 'held-out.txt'), 'utf8'), { special: false });
  expect([...ids.slice(0, 128)]).toEqual([...(await recordedTensors(record)).ids]);
});
