import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { adaptivePool, type Pooling } from './adaptive-pool.ts';

const tokens = 9;

/** A pass over two texts, of which padding leaves some tokens: those that are 1. */
const callOf = (shown: readonly (readonly number[])[] | null): Call =>
  ({
    pass: { batch: 2 },
    sequence: {
      tokens,
      continues: false,
      mask: shown && constant(Float32Array.from(shown.flat()), [2, tokens]),
    },
  }) as unknown as Call;

const x = Float32Array.from({ length: 2 * tokens * 2 }, (_, i) => Math.sin(i * 1.7));

/** torch's rule, text by text. */
const expected = (shown: readonly (readonly number[])[], m: number, pooling: Pooling): number[] =>
  shown.flatMap((row, b) => {
    const kept = [...row.keys()].filter((t) => row[t] === 1);
    return Array.from({ length: m }, (_, i) => {
      const part = kept.slice(Math.floor((i * kept.length) / m), Math.ceil(((i + 1) * kept.length) / m));
      return [0, 1].map((j) => {
        const values = part.map((t) => x[(b * tokens + t) * 2 + j]!);
        return pooling === 'max' ? Math.max(...values) : values.reduce((n, v) => n + v, 0) / values.length;
      });
    }).flat();
  });

const left = [
  [0, 0, 0, 1, 1, 1, 1, 1, 1],
  [1, 1, 1, 1, 1, 1, 1, 1, 1],
];
const right = [
  [1, 1, 0, 0, 0, 0, 0, 0, 0],
  [1, 1, 1, 1, 1, 1, 1, 0, 0],
];

test.each<[Pooling, number]>([
  ['average', 4],
  ['max', 4],
  ['average', 3],
  ['max', 1],
  ['average', 7],
])('%s over %i parts, whatever is padded', async (pooling, m) => {
  const own: Tensor = constant(x, [2, tokens, 2]);
  for (const shown of [left, right, null]) {
    const { y } = await evaluate({ y: adaptivePool(own, callOf(shown), m, pooling) }, { executor: reference() });
    const wanted = expected(shown ?? [1, 1].map(() => Array(tokens).fill(1)), m, pooling);
    expect(y).toHaveLength(wanted.length);
    wanted.forEach((value, i) => {
      expect(y![i]).toBeCloseTo(value, 5);
    });
  }
});
