import { attach } from '@peftjs/core';
import { nf4, quantize } from '@peftjs/quant';
import { evaluate, matmul, reference, type Variable } from '@peftjs/tensor';
import { distance, tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { supertuning, tinylora } from '../src/index.ts';

const layer = 'model.layers.0.self_attn.v_proj';

test.each(['dense', 'nf4'] as const)('the factors of tinylora are the halves of a weight in %s', async (format) => {
  const base = format === 'nf4' ? quantize(tinyLlama(), nf4({ blockSize: 6 })) : tinyLlama();
  const { inDim, outDim, dense } = base.linears.get(layer)!;
  const { state } = attach(base, [tinylora({ rank: 100, length: 2 })]);
  const [a, b] = ['A', 'B'].map((letter) => state.get(`${layer}.tinylora_${letter}`)!) as [Variable, Variable];
  expect([a.shape, b.shape]).toEqual([
    [Math.min(inDim, outDim), inDim],
    [outDim, Math.min(inDim, outDim)],
  ]);
  const { product, weight, left, right } = await evaluate(
    {
      product: matmul(b, a),
      weight: dense().weight,
      left: matmul(b, b, { transposeA: true }),
      right: matmul(a, a, { transposeB: true }),
    },
    { executor: reference() },
  );
  expect(distance(product!, weight!)).toBeLessThan(1e-5);
  // Both hold the roots of the singular values.
  expect(distance(left!, right!)).toBeLessThan(1e-5);
});

test.each([true, false])('supertuning trains the weights of extreme magnitude (largest: %s)', async (largest) => {
  const base = tinyLlama();
  const { state } = attach(base, [supertuning({ sparsity: 0.75, largest })]);
  const { index, weight } = await evaluate(
    { index: state.get(`${layer}.supertuning_indices`)!, weight: base.linears.get(layer)!.dense().weight },
    { executor: reference() },
  );
  const sizes = Array.from(weight as Float32Array, Math.abs);
  const order = [...sizes.keys()].sort((i, j) => (sizes[i]! - sizes[j]!) * (largest ? -1 : 1));
  const count = Math.trunc(sizes.length / 4);
  expect([...(index as Int32Array)]).toEqual(order.slice(0, count).sort((i, j) => i - j));
});
