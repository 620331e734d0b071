import { type Batch, batch, fromArray, ignored, jsonl, pipe, type Row, columns as toColumns } from '@peftjs/data';
import { memoryFiles } from '@peftjs/io';
import type { TypedArray } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import type { Column, TaskModel } from '@peftjs/transformer';
import { tinyLlama } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { checkBatch, checkRows } from './check-data.ts';

const model = tinyLlama();
const { vocabSize, maxPositions } = model.config;

const batchOf = (rows: number, columns: Readonly<Record<string, TypedArray>>, shapes: Batch['shapes'] = {}): Batch => ({
  rows,
  columns,
  shapes: Object.fromEntries(
    Object.entries(columns).map(([name, data]) => [name, shapes[name] ?? [rows, data.length / rows]]),
  ),
});
const ids = Int32Array.of(1, 2, 3, 4);
const labels = Int32Array.of(2, 3, 4, ignored);

const classifier: TaskModel<unknown> = {
  ...model,
  task: { ...model.task, name: 'classes', labels: ['a', 'b'], columns: { labels: { shape: [], dtype: 'i32' } } },
} as TaskModel<unknown>;

describe('a batch', () => {
  const check = (given: Batch, of: TaskModel<unknown> = model, columns: Readonly<Record<string, Column>> = {}) =>
    checkBatch({ model: of, columns }, { batch: given, name: 'batch 3' });

  test('that is sound passes, also where a row of it has no label', async () => {
    await check(batchOf(2, { ids, labels }));
    await check(batchOf(2, { ids, labels: Int32Array.of(ignored, ignored, 4, 1) }));
    await check(batchOf(2, { ids, labels: Int32Array.of(0, 1) }, { labels: [2] }), classifier);
  });

  const refused: readonly (readonly [string, Batch, string])[] = [
    [
      'ids that the vocabulary lacks',
      batchOf(2, { ids: Int32Array.of(1, 2, 3, vocabSize), labels }),
      `row 1 of batch 3: ids[1] is the number ${vocabSize}; it holds whole numbers from 0 to ${vocabSize - 1}`,
    ],
    [
      'negative ids',
      batchOf(2, { ids: Int32Array.of(-1, 2, 3, 4), labels }),
      'row 0 of batch 3: ids[0] is the number -1',
    ],
    [
      'labels that the vocabulary lacks',
      batchOf(2, { ids, labels: Int32Array.of(1, 1, vocabSize, 1) }),
      `row 1 of batch 3: labels[0] is the number ${vocabSize}`,
    ],
    [
      'labels below zero',
      batchOf(2, { ids, labels: Int32Array.of(1, -1, 1, 1) }),
      'row 0 of batch 3: labels[1] is the number -1',
    ],
    [
      'no label at all',
      batchOf(2, { ids, labels: new Int32Array(4).fill(ignored) }),
      'batch 3: labels holds nothing but -100',
    ],
    ['no labels', batchOf(2, { ids }), 'batch 3: has columns ids; causalLM of llama reads labels too'],
    ['no ids', batchOf(2, { labels }), 'reads ids too'],
    [
      'ids of another type',
      batchOf(2, { ids: Float32Array.from(ids), labels }),
      'batch 3: ids is a Float32Array, it must be a Int32Array',
    ],
    [
      'labels of another length',
      batchOf(2, { ids, labels: labels.subarray(0, 2) }),
      'labels has the shape [2, 1], it must be [2, 2]',
    ],
    [
      'rows longer than the model’s positions',
      batchOf(1, { ids: new Int32Array(maxPositions + 1), labels: new Int32Array(maxPositions + 1) }),
      `ids has ${maxPositions + 1} tokens in a row, the model takes ${maxPositions}`,
    ],
  ];
  test.each(refused)('with %s is refused', async (_, given, message) => {
    expect(await messageOf('bad-data', () => check(given))).toContain(message);
  });

  test('of classes is checked by their number, and by its shape', async () => {
    const of = (...values: number[]): Batch => batchOf(2, { ids, labels: Int32Array.from(values) }, { labels: [2] });
    expect(await messageOf('bad-data', () => check(of(0, 2), classifier))).toContain(
      'row 1 of batch 3: labels[0] is the number 2; it holds whole numbers from 0 to 1, or -100',
    );
    const wrong = batchOf(2, { ids, labels: Int32Array.of(0, 1) });
    expect(await messageOf('bad-data', () => check(wrong, classifier))).toContain(
      'labels has the shape [2, 1], it must be [2]; say so to `batch`: shapes: { labels: [] }',
    );
  });

  test('of an objective has what columns it likes, which are sound', async () => {
    const free = (given: Batch): Promise<void> => checkBatch({ model, free: true }, { batch: given, name: 'batch 0' });
    await free(batchOf(2, { chosen: ids, rejected: ids }));
    expect(await messageOf('bad-data', () => free(batchOf(2, { ids: Int32Array.of(1, 2, -3, 4) })))).toContain(
      'row 1 of batch 0: ids[0] is the number -3',
    );
  });

  test("of Python's names is refused, since they would go unread", async () => {
    const given = batchOf(2, { ids, labels, attention_mask: new Float32Array(4) });
    expect(await messageOf('bad-data', () => check(given))).toContain(
      'batch 3: has a column attention_mask, which is called mask here',
    );
  });

  test('has the columns that methods ask for', async () => {
    const task: Column = { shape: [], dtype: 'i32' };
    expect(await messageOf('bad-data', () => check(batchOf(2, { ids, labels }), model, { task }))).toContain(
      'reads task too',
    );
    const of = (...values: number[]): Batch =>
      batchOf(2, { ids, labels, task: Int32Array.from(values) }, { task: [2] });
    const bounded = { task: { ...task, below: 3 } };
    await check(of(2, 0), model, bounded);
    expect(await messageOf('bad-data', () => check(of(0, 3), model, bounded))).toContain(
      'row 1 of batch 3: task[0] is the number 3; it holds whole numbers from 0 to 2',
    );
  });

  test('of a stream is told by the place of its row in the file', async () => {
    const line = (first: number): string => JSON.stringify({ ids: [first, 2], labels: [2, 3] });
    const files = memoryFiles(new Map([['data.jsonl', [1, 2, 3, vocabSize, 5].map(line).join('\n')]]));
    const from = pipe(
      jsonl({ files, path: 'data.jsonl' }),
      toColumns({ ids: 'i32', labels: 'i32' }),
      batch({ size: 3 }),
    ).open();
    const check = async (): Promise<void> => {
      const next = await from.next();
      if (!next.done) await checkBatch({ model }, { batch: next.value, name: 'batch 0', origin: from.origin?.() });
    };
    await check();
    expect(await messageOf('bad-data', check)).toContain(`memory/data.jsonl line 4: ids[0] is the number ${vocabSize}`);
    const rows = pipe(
      fromArray<Row>([
        { ids, labels },
        { ids: ids.map((id) => -id), labels },
      ]),
      batch({ size: 2 }),
    ).open();
    const { value } = await rows.next();
    const origin = rows.origin?.();
    expect(
      await messageOf('bad-data', () => checkBatch({ model }, { batch: value!, name: 'batch 0', origin })),
    ).toContain('row 1: ids[0] is the number -1');
  });
});

describe('rows of tokens', () => {
  const check = (rows: readonly unknown[], context = 3): void =>
    checkRows('train', { model }, { context, rows: rows as readonly Int32Array[] });
  const good = Int32Array.of(1, 2, 3, 4);

  test('that are sound pass, the last one shorter', () => check([good, good.subarray(2)]));

  test.each<readonly [string, readonly unknown[], string]>([
    [
      'an id that the vocabulary lacks',
      [good, Int32Array.of(1, 2, vocabSize, 3)],
      `train: row 1: ids[2] is the number ${vocabSize}`,
    ],
    ['a negative id', [Int32Array.of(1, -7, 2, 3)], 'row 0: ids[1] is the number -7'],
    ['a list', [[1, 2, 3, 4]], 'row 0 is a list, it must be an Int32Array'],
    ['floats', [Float32Array.of(1, 2, 3, 4)], 'row 0 is a Float32Array, it must be an Int32Array'],
    [
      'a row that is too long',
      [good, Int32Array.of(1, 2, 3, 4, 5)],
      'row 1 has 5 tokens; rows of context 3 have 2 to 4',
    ],
    ['a row without a label', [Int32Array.of(1)], 'row 0 has 1 tokens'],
    ['no row', [], 'there are no rows'],
  ])('with %s are refused', async (_, rows, message) => {
    expect(await messageOf('bad-data', () => check(rows))).toContain(message);
  });

  test('longer than the model’s positions are refused', async () => {
    const row = new Int32Array(maxPositions + 2);
    expect(await messageOf('bad-data', () => check([row], maxPositions + 1))).toContain(
      `the model takes ${maxPositions}`,
    );
    for (const context of [0, -1, 1.5, Number.NaN]) await messageOf('bad-data', () => check([good], context));
  });
});
