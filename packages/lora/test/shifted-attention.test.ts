import { grad } from '@peftjs/autograd';
import { attach } from '@peftjs/core';
import { nf4, quantize } from '@peftjs/quant';
import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { distance, shake, tinyBert, tinyLlama, tokens } from '@peftjs/testkit';
import { type Around, type CausalLM, meanOf } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { lora, shiftedAttention } from '../src/index.ts';

const executor = reference();
const rows = [
  [1, 5, 2, 9, 4, 3, 7, 0, 6, 2, 8, 1, 3, 9, 5, 4],
  [4, 4, 1, 0, 2, 8, 6, 3, 5, 7, 9, 2, 1, 6, 0, 3],
] as const;
const ids = tokens(...rows.map((row) => [...row]));
const path = 'model.layers.0.self_attn';

/** A view that tells what the heads of the first layer are given, and give. */
const watched = (model: CausalLM, seen: Record<string, Tensor>, training = true): CausalLM => {
  const heads: Around<'heads'> = (q, next) => {
    const y = next(q);
    Object.assign(seen, { q, y });
    return y;
  };
  return model.with({ training, around: { heads: new Map([[path, [heads]]]) } });
};

/** Keys and values of the first layer, before anything is cut. */
const keysOf = (model: CausalLM, seen: Record<string, Tensor>): CausalLM => {
  const kv: Around<'kv'> = (own, next) => {
    Object.assign(seen, own);
    return next(own);
  };
  return model.with({ around: { kv: new Map([[path, [kv]]]) } });
};

/** Attention of q [B,H,T,D] where `sees` says so, in double precision. */
const attended = (
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  v: ArrayLike<number>,
  [heads, groups, length, dim]: readonly [number, number, number, number],
  sees: (head: number, query: number, key: number) => boolean,
): number[] =>
  Array.from({ length: q.length / dim }, (_, row) => {
    const [t, h, b] = [row % length, Math.floor(row / length) % heads, Math.floor(row / length / heads)];
    const at = (s: number): number => ((b * groups + Math.floor((h * groups) / heads)) * length + s) * dim;
    const keys = Array.from({ length }, (__, s) => s).filter((s) => sees(h, t, s));
    const scores = keys.map((s) => {
      let dot = 0;
      for (let d = 0; d < dim; d++) dot += q[row * dim + d]! * k[at(s) + d]!;
      return Math.exp(dot / Math.sqrt(dim));
    });
    const total = scores.reduce((a, c) => a + c, 0);
    return Array.from({ length: dim }, (__, d) =>
      keys.reduce((sum, s, i) => sum + (scores[i]! / total) * v[at(s) + d]!, 0),
    );
  }).flat();

describe.each([
  [4, 4, 2],
  [2, 4, 4],
  [4, 2, 1],
])('%i groups, %i heads of queries and %i of keys', (groups, heads, keyValueHeads) => {
  const base = tinyLlama({ heads, keyValueHeads, headDim: 4, hiddenSize: 16 });

  test('a training pass attends within groups, half of the heads within those that lie later by half of one', async () => {
    const [seen, own]: [Record<string, Tensor>, Record<string, Tensor>] = [{}, {}];
    watched(shiftedAttention(keysOf(base, own), { groups }), seen).logits(ids);
    const got = await evaluate({ ...seen, k: own['k']!, v: own['v']! }, { executor });
    const size = rows[0].length / groups;
    const groupOf = (head: number, token: number): number =>
      Math.floor((head < heads / 2 ? token : token + size / 2) / size);
    const wanted = attended(got['q']!, got['k']!, got['v']!, [heads, keyValueHeads, rows[0].length, 4], (h, t, s) => {
      return s <= t && groupOf(h, s) === groupOf(h, t);
    });
    expect(distance(got['y']!, wanted)).toBeLessThan(1e-5);
  });

  test('evaluation attends to all', async () => {
    const got = await evaluate(
      { a: shiftedAttention(base, { groups }).logits(ids), b: base.logits(ids) },
      { executor },
    );
    expect(got['a']).toEqual(got['b']);
  });
});

test('LongQLoRA: an adapter over a quantised base has gradients through the groups', async () => {
  const base = shiftedAttention(quantize(tinyLlama(), nf4({ blockSize: 8 })));
  const adapted = attach(base, [lora({ rank: 2 })]);
  await shake(adapted.params, { executor });
  const params = [...adapted.params.values()];
  const loss = meanOf(adapted.loss({ ids, labels: ids }, constant(Uint32Array.of(1), [], 'u32')));
  const plain = meanOf(adapted.model.loss({ ids, labels: ids }));
  const got = await evaluate(
    { loss, plain, ...Object.fromEntries(grad(loss, params).map((g, i) => [`g${i}`, g])) },
    { executor },
  );
  expect(Math.abs(got['loss']![0]! - got['plain']![0]!)).toBeGreaterThan(1e-4);
  for (const i of params.keys()) expect(Math.hypot(...got[`g${i}`]!)).toBeGreaterThan(0);
});

test('what groups would see wrongly is refused, by the layer', () => {
  const run = (model: CausalLM, inputs: Readonly<Record<string, Tensor>> = { ids }) =>
    model.with({ training: true }).states(inputs);
  const base = shiftedAttention(tinyLlama());
  expect(() => run(base, { ids: tokens([1, 2, 3, 4, 5, 6]) })).toThrow(
    /self_attn has rows of 6 tokens, .* multiple of 8/,
  );
  const mask = constant(new Float32Array(32).fill(1), [2, 16]);
  expect(() => run(base, { ids, mask })).toThrow(/self_attn hides tokens of a row/);
  expect(() => shiftedAttention(tinyLlama(), { groups: 1 })).toThrow(/groups must be a whole number of at least 2/);
  expect(() => shiftedAttention(tinyBert())).toThrow(/has no attention to tokens that came before/);
  const odd = shiftedAttention(tinyLlama({ heads: 3, keyValueHeads: 3, headDim: 4, hiddenSize: 12 }));
  expect(() => run(odd)).toThrow(/has 3 heads, of which no half can be shifted/);
});
