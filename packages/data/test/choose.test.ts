import { memoryFiles } from '@peftjs/io';
import { messageOf } from '@peftjs/tensor/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  batchByTokens,
  csv,
  fromArray,
  jsonl,
  map,
  mix,
  pack,
  pipe,
  type Row,
  repeat,
  shuffle,
  skipBad,
  splitByHash,
  textLines,
  unique,
} from '../src/index.ts';
import { failure, obeysStreamLaws, readAll } from './stream-laws.ts';

const numbers = (n: number, from = 0): number[] => Array.from({ length: n }, (_, i) => from + i);
const file = (content: string) => ({ files: memoryFiles(new Map([['a', content]])), path: 'a' });

describe('mix', () => {
  const sources = (a: number, b: number) => [
    { stream: fromArray(numbers(a)), weight: 3 },
    { stream: fromArray(numbers(b, 10_000)), weight: 1 },
  ];
  test('takes of each stream by its weight, and its items in their order', async () => {
    const { items } = await readAll(mix(sources(3000, 1000), { seed: 1 }));
    const first = items.slice(0, 2000).filter((item) => item < 10_000).length;
    expect(Math.abs(first / 2000 - 0.75)).toBeLessThan(0.03);
    expect(items.filter((item) => item < 10_000)).toEqual(numbers(3000));
    expect(items.filter((item) => item >= 10_000)).toEqual(numbers(1000, 10_000));
  });
  test('resumes anywhere, also where one has ended', async () => {
    await obeysStreamLaws(mix(sources(4, 9), { seed: 3 }));
    await obeysStreamLaws(pipe(mix(sources(6, 2), { seed: 3 }), repeat(2)));
    const until = await obeysStreamLaws(mix(sources(40, 4), { seed: 3, until: 'first' }));
    expect(until.length).toBeLessThan(44);
    // Beyond the draws of one seed.
    const many = mix(sources(600, 200), { seed: 5 });
    const { items, cursors } = await readAll(many);
    for (const at of [255, 256, 257, 700]) expect((await readAll(many, cursors[at])).items).toEqual(items.slice(at));
  });
  test('another epoch is another order; weights are above 0', async () => {
    const { items } = await readAll(pipe(mix(sources(30, 10), { seed: 1 }), repeat(2)));
    expect(items.slice(0, 40)).not.toEqual(items.slice(40));
    const none = [{ stream: fromArray([1]), weight: 0 }];
    expect(await messageOf('bad-option', () => mix(none, { seed: 0 }))).toContain('a weight above 0');
  });
});

describe('splitByHash', () => {
  const items = numbers(4000).map((i) => ({ id: i % 2000, text: `text ${i % 2000}` }));
  test('each item is on one side, copies on the same, and the share is kept', async () => {
    const { train, heldOut } = splitByHash<(typeof items)[number]>({ heldOut: 0.1 });
    const [a, b] = await Promise.all([train, heldOut].map((stage) => readAll(pipe(fromArray(items), stage))));
    expect(a!.items.length + b!.items.length).toBe(4000);
    const held = new Set(b!.items.map(({ id }) => id));
    expect(a!.items.some(({ id }) => held.has(id))).toBe(false);
    expect(Math.abs(held.size / 2000 - 0.1)).toBeLessThan(0.03);
    // The order of fields is nothing of what an item holds.
    const turned = pipe(
      fromArray(items),
      map(({ id, text }) => ({ text, id })),
      heldOut as never,
    );
    expect((await readAll(turned)).items).toHaveLength(b!.items.length);
  });
  test('by a part of the item, and by another seed', async () => {
    const of = async (seed: number) => {
      const { heldOut } = splitByHash<(typeof items)[number]>({ heldOut: 0.5, seed, by: ({ id }) => id % 10 });
      return new Set((await readAll(pipe(fromArray(items), heldOut))).items.map(({ id }) => id % 10));
    };
    const [one, other] = [await of(0), await of(1)];
    expect(one.size).toBeGreaterThan(0);
    expect(one.size).toBeLessThan(10);
    expect([...one].sort()).not.toEqual([...other].sort());
  });
});

test('unique leaves out copies, whatever the order of fields', async () => {
  const copies: number[] = [];
  const items = [{ a: 1, b: 2 }, { a: 2 }, { b: 2, a: 1 }, 'x', { a: 2 }, 'x', 'y'];
  const kept = await obeysStreamLaws(pipe(fromArray(items), unique()));
  expect(kept).toEqual([{ a: 1, b: 2 }, { a: 2 }, 'x', 'y']);
  await readAll(pipe(fromArray(items), unique({ onCopy: (number) => copies.push(number) })));
  expect(copies).toEqual([2, 4, 5]);
  const rows = pipe(fromArray(numbers(9)), unique({ by: (i) => i % 3 }));
  expect((await readAll(rows)).items).toEqual([0, 1, 2]);
  const { cursors } = await readAll(rows);
  expect(await failure('state-mismatch', pipe(fromArray([1]), unique()), cursors[3])).toContain('there is less of it');
});

describe('skipBad', () => {
  const content = ['{"n":0}', '{"n":', '{"n":2}', 'x', '{"n":4}'].join('\n');
  test('leaves bad items out, and tells of each', async () => {
    const told: string[] = [];
    const stream = pipe(jsonl(file(content)), skipBad({ most: 2, onSkip: ({ message }) => told.push(message) }));
    expect((await readAll(stream)).items).toEqual([{ n: 0 }, { n: 2 }, { n: 4 }]);
    expect(told.map((message) => /line \d/.exec(message)![0])).toEqual(['line 2', 'line 4']);
    await obeysStreamLaws(stream);
    const table = pipe(
      csv(file('a,b\n1,2\n3\n"5,6\n')),
      skipBad({ most: 5, onSkip: ({ message }) => told.push(message) }),
    );
    expect((await readAll(table)).items).toEqual([{ a: '1', b: '2' }]);
    expect(told.at(-1)).toContain('line 4: a quote that opens here is never closed');
  });
  test('one more than are allowed is an error, also after resuming', async () => {
    const stream = pipe(jsonl(file(content)), skipBad({ most: 1, onSkip: () => {} }));
    const message = 'a line 4: is not JSON';
    expect(await failure('bad-data', stream)).toContain(message);
    const { cursors } = await readAll(stream, undefined, 2);
    expect(await failure('bad-data', stream, cursors[2])).toContain('1 bad items before it were left out');
  });
  test('what can not be passed is an error', async () => {
    const rows = pipe(
      fromArray<Row>([{ ids: Int32Array.of(1) }, { text: Int32Array.of(2) }]),
      pack({ context: 1, endOfText: 0 }),
    );
    expect(await failure('bad-data', pipe(rows, skipBad({ most: 9, onSkip: () => {} })))).toContain('text');
    const missing = pipe(textLines({ files: memoryFiles(), path: 'none' }), skipBad({ most: 9, onSkip: () => {} }));
    expect(await failure('file-missing', missing)).toContain('none');
  });
});

describe('batchByTokens', () => {
  const row = (length: number, i: number): Row => ({
    ids: new Int32Array(length).fill(i + 1),
    labels: new Int32Array(length).fill(i + 1),
  });
  test('each row once, rows of like lengths together, never more tokens than allowed', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 50 });
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.integer({ min: 1, max: 30 }),
        fc.constantFrom(1, 4),
        async (lengths, window, multipleOf) => {
          const stage = batchByTokens({ tokens: 40, seed: 1, window, multipleOf, most: 6 });
          const { items } = await readAll(pipe(fromArray(lengths.map(row)), stage));
          for (const { rows, shapes } of items) {
            expect(rows).toBeLessThanOrEqual(6);
            expect(shapes['ids']![0]! * shapes['ids']![1]!).toBeLessThanOrEqual(40);
            expect(shapes['ids']![1]! % multipleOf).toBe(0);
          }
          const found = items.flatMap(({ rows, columns }) => {
            const ids = [...columns['ids']!];
            return numbers(rows).map((r) => ids[(r * ids.length) / rows]!);
          });
          expect(found.sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i + 1));
        },
      ),
      { numRuns: 50 },
    );
  });
  test('resumes anywhere, and another epoch is another order', async () => {
    const rows = fromArray(numbers(23).map((i) => row(((i * 7) % 12) + 1, i)));
    await obeysStreamLaws(pipe(rows, shuffle({ seed: 0 }), batchByTokens({ tokens: 24, seed: 1, window: 10 })));
    const { items } = await readAll(pipe(rows, batchByTokens({ tokens: 24, seed: 1 }), repeat(2)));
    const half = items.length / 2;
    expect(items.slice(0, half)).not.toEqual(items.slice(half));
  });
  test('a row that is too long alone is named', async () => {
    const rows = fromArray([row(3, 0), row(9, 1)]);
    expect(await failure('bad-data', pipe(rows, batchByTokens({ tokens: 8, seed: 0 })))).toContain(
      'row 1: has 9 tokens, a batch takes 8',
    );
  });
});
