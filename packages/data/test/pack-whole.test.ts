import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bestFit } from '../src/best-fit.ts';
import { batch, fromArray, type PackedWindow, packWhole, pipe, type Row, shuffle } from '../src/index.ts';
import { failure, obeysStreamLaws, readAll } from './stream-laws.ts';

const folder = join(import.meta.dirname, '../../../tools/golden/data/data');
const lengths = fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 40 });

/** A document of a number, as often as it is long; its labels are its negative. */
const document = (length: number, i: number): Row => ({
  ids: new Int32Array(length).fill(i + 1),
  labels: new Int32Array(length).fill(-i - 1),
});

test('documents lie together as TRL packs them', async () => {
  const { bins } = JSON.parse(await readFile(join(folder, 'rows-of-python.json'), 'utf8')) as {
    bins: { lengths: number[]; context: number; bins: number[][] };
  };
  expect(bestFit(bins.lengths, bins.context)).toEqual(bins.bins);
});

describe('rows of whole documents', () => {
  test('have each document once, whole and in one row, and a window is not worse than one document a row', async () => {
    await fc.assert(
      fc.asyncProperty(lengths, fc.integer({ min: 1, max: 9 }), async (sizes, window) => {
        const told: PackedWindow[] = [];
        const stage = packWhole({ context: 12, window, onPacked: (packed) => told.push(packed) });
        const { items } = await readAll(pipe(fromArray(sizes.map(document)), stage));
        const found = items.flatMap(({ ids, labels, documents }) => {
          expect(ids.length).toBeLessThanOrEqual(12);
          expect([...labels]).toEqual([...ids].map((id) => -id));
          // One number for each document, 1, 2, …, each a run of one id.
          const runs = [...documents].flatMap((number, t) =>
            number === documents[t - 1] ? [] : [[number, ids[t]!] as const],
          );
          expect(runs.map(([number]) => number)).toEqual(runs.map((_, i) => i + 1));
          for (const [number, id] of runs) expect(documents.filter((one) => one === number).length).toBe(sizes[id - 1]);
          return runs.map(([, id]) => id);
        });
        expect([...found].sort((a, b) => a - b)).toEqual(sizes.map((_, i) => i + 1));
        expect(told.reduce((sum, { documents }) => sum + documents, 0)).toBe(sizes.length);
        expect(told.reduce((sum, { rows }) => sum + rows, 0)).toBe(items.length);
        for (const { rows, tokens, padding } of told) expect(padding).toBeCloseTo(1 - tokens / (rows * 12), 12);
      }),
      { numRuns: 60 },
    );
  });
  test('resume anywhere, also shuffled and in batches', async () => {
    const rows = fromArray([5, 3, 9, 2, 2, 7, 1, 10, 4, 6, 3].map(document));
    await obeysStreamLaws(pipe(rows, packWhole({ context: 10, window: 4 })));
    const batches = pipe(rows, shuffle({ seed: 1 }), packWhole({ context: 10, window: 4 }), batch({ size: 2 }));
    const [first] = await obeysStreamLaws(batches);
    expect(Object.keys(first!.columns).sort()).toEqual(
      first!.columns['mask'] ? ['documents', 'ids', 'labels', 'mask'] : ['documents', 'ids', 'labels'],
    );
  });
  test('a document that is too long is named', async () => {
    const rows = fromArray([3, 11].map(document));
    expect(await failure('bad-data', pipe(rows, packWhole({ context: 10 })))).toContain(
      'row 1: has 11 tokens, a row takes 10; `atMost` before it refuses or cuts such',
    );
    const others = fromArray([{ ...document(3, 0), task: Int32Array.of(1) }]);
    expect(await failure('bad-data', pipe(others, packWhole({ context: 10 })))).toContain('row 0: has task');
  });
});
