import { describe, expect, it } from 'vitest';
import type { Tensor } from '../graph.ts';
import { constant } from '../graph.ts';
import { apart, drawn, known, valuesOf } from '../testing/known.ts';
import { add } from './add.ts';
import { attention, attentionOp } from './attention.ts';
import { pairsOf } from './attention-spec.ts';
import { broadcastTo } from './broadcast-to.ts';
import { concatAll } from './concat.ts';
import { exp } from './exp.ts';
import { log } from './log.ts';
import { matmul } from './matmul.ts';
import { mul } from './mul.ts';
import { reshape } from './reshape.ts';
import { slice } from './slice.ts';
import { softmax } from './softmax.ts';
import { sum } from './sum.ts';
import { tanh } from './tanh.ts';

const [q, k, v] = [drawn('q', [2, 4, 5, 6]), drawn('k', [2, 2, 7, 6]), drawn('v', [2, 2, 7, 6])];
const scale = 1 / Math.sqrt(6);

/** Key heads written out once per query head that shares them. */
const repeated = (x: Tensor): Tensor => {
  const heads = [0, 1].map((g) => slice(x, { axis: 1, start: g, end: g + 1 }));
  return concatAll([heads[0]!, heads[0]!, heads[1]!, heads[1]!], 1);
};

const scores = mul(matmul(q, repeated(k), { transposeB: true }), scale);

/** Added to scores: 0 where a query sees a key, else what makes its weight vanish. */
const bias = (sees: (b: number, t: number, s: number) => boolean): Tensor =>
  known(
    [2, 1, 5, 7],
    Array.from({ length: 70 }, (_, i) => (sees(Math.floor(i / 35), Math.floor(i / 7) % 5, i % 7) ? 0 : -1e4)),
  );

const naive = (sees: (b: number, t: number, s: number) => boolean): Tensor =>
  matmul(softmax(add(scores, bias(sees))), repeated(v));

const distance = async (x: Tensor, y: Tensor): Promise<number> => apart(await valuesOf(x), await valuesOf(y));

describe('attention', () => {
  it('is softmax(q·kᵀ/√d)·v, with key heads shared by neighbours', async () => {
    expect(
      await distance(
        attention(q, k, v, { causal: false }),
        naive(() => true),
      ),
    ).toBeLessThan(1e-6);
  });

  it('takes keys beyond the queries for the past', async () => {
    expect(
      await distance(
        attention(q, k, v, { causal: true }),
        naive((_, t, s) => s <= t + 2),
      ),
    ).toBeLessThan(1e-6);
  });

  it('sees up to t + offset', async () => {
    const offset = constant(Int32Array.of(0), []);
    expect(
      await distance(
        attention(q, k, v, { causal: true, offset }),
        naive((_, t, s) => s <= t),
      ),
    ).toBeLessThan(1e-6);
  });

  it('drops keys by mask, together with the causal rule', async () => {
    const keep = (b: number, s: number): boolean => (b === 0 ? s >= 2 : s !== 3);
    const keyMask = known(
      [2, 7],
      Array.from({ length: 14 }, (_, i) => (keep(Math.floor(i / 7), i % 7) ? 1 : 0)),
    );
    expect(
      await distance(
        attention(q, k, v, { causal: true, keyMask }),
        naive((b, t, s) => keep(b, s) && s <= t + 2),
      ),
    ).toBeLessThan(1e-6);
  });

  it('yields zeros for a query that sees nothing', async () => {
    const out = await valuesOf(attention(q, k, v, { causal: true, offset: constant(Int32Array.of(-2), []) }));
    const row = (head: number, t: number): number[] => out.slice((head * 5 + t) * 6, (head * 5 + t + 1) * 6);
    for (let head = 0; head < 8; head++) {
      expect([...row(head, 0), ...row(head, 1)]).toEqual(Array(12).fill(0));
      expect(row(head, 2).some((x) => x !== 0)).toBe(true);
    }
  });

  it('sees no key before a window, which ends at the query', async () => {
    expect(
      await distance(
        attention(q, k, v, { causal: true, window: 3 }),
        naive((_, t, s) => s <= t + 2 && s > t - 1),
      ),
    ).toBeLessThan(1e-6);
    const far = attention(q, k, v, { causal: true, window: 7 });
    expect(await distance(far, attention(q, k, v, { causal: true }))).toBe(0);
  });

  it('counts the pairs that meet within a window', () => {
    const met = (queries: number, keys: number, window: number): number =>
      Array.from({ length: queries }, (_, t) => Math.min(window, t + keys - queries + 1)).reduce((a, b) => a + b, 0);
    for (const [queries, keys] of [
      [5, 7],
      [9, 9],
      [1, 4],
    ] as const)
      for (const window of [1, 3, 4, 20]) {
        const [x, y] = [drawn('x', [2, 3, queries, 4]), drawn('y', [2, 1, keys, 4])];
        expect(pairsOf({ q: x, k: y }, { causal: true, scale: 1, window })).toBe(6 * met(queries, keys, window));
      }
  });

  it('caps scores before the mask', async () => {
    const capped = mul(tanh(mul(scores, 1 / 0.3)), 0.3);
    const sees = (_: number, t: number, s: number): boolean => s <= t + 2;
    expect(
      await distance(
        attention(q, k, v, { causal: true, softCap: 0.3 }),
        matmul(softmax(add(capped, bias(sees))), repeated(v)),
      ),
    ).toBeLessThan(1e-6);
  });

  const sinks = known([4], [0.3, -1, 2, 40]);

  it('has scores of heads beside those of the keys, whose values are zeros', async () => {
    const beside = broadcastTo(reshape(sinks, [1, 4, 1, 1]), [2, 4, 5, 1]);
    const weights = softmax(
      concatAll(
        [
          add(
            scores,
            bias((b, t, s) => s <= t + 2 && s > t && b === 0),
          ),
          beside,
        ],
        3,
      ),
    );
    const keyMask = known(
      [2, 7],
      Array.from({ length: 14 }, (_, i) => Number(i < 7)),
    );
    expect(
      await distance(
        attention(q, k, v, { causal: true, window: 2, keyMask, sinks }),
        matmul(slice(weights, { axis: 3, start: 0, end: 7 }), repeated(v)),
      ),
    ).toBeLessThan(1e-6);
    expect(() => attention(q, k, v, { causal: true, sinks: known([3], [1, 2, 3]) })).toThrow('sinks must be [4]');
  });

  it('keeps log Σ exp of the scores for the backward pass', async () => {
    const [, logSumExp] = attentionOp(q, k, v, null, null, { causal: false, scale });
    expect(await distance(logSumExp, log(sum(exp(scores), { axes: [-1] })))).toBeLessThan(1e-6);
  });

  it('names what does not fit', () => {
    expect(() => attention(drawn('q3', [2, 3, 5, 6]), k, v, { causal: true })).toThrow(
      '3 query heads cannot share 2 key heads',
    );
    expect(() => attention(q, k, drawn('v8', [2, 2, 8, 6]), { causal: true })).toThrow(
      "must both be [2, groups, keys, 6], as q's batch and headDim say",
    );
    expect(() => attention(q, k, v, { causal: true, keyMask: drawn('m', [2, 5]) })).toThrow('keyMask must be [2, 7]');
    expect(() => attention(q, k, v, { causal: true, offset: known([], [1]) })).toThrow('offset must be a scalar i32');
    expect(() =>
      attention(drawn('w', [1, 1, 1, 300]), drawn('w', [1, 1, 1, 300]), drawn('w', [1, 1, 1, 300]), { causal: true }),
    ).toThrow('headDim must be at most 256');
    expect(() => attention(q, k, v, { causal: false, window: 4 })).toThrow(
      "attention: got window 4 with causal false; a window is a whole number of keys above 0, and its last key is the query's own, so causal must be true",
    );
    expect(() => attention(q, k, v, { causal: true, window: 0 })).toThrow('got window 0');
    expect(() => attention(q, k, v, { causal: true, softCap: -1 })).toThrow(
      'got softCap -1; it must be a finite number above 0',
    );
  });
});
