import { attach } from '@peftjs/core';
import { constant, evaluate, reference, sub } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { noModel } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { pvera } from '../src/index.ts';

test('what training adds is normally distributed with the variance of its logarithm', async () => {
  const rank = 4;
  const layer = 'model.layers.0.self_attn.q_proj';
  const adapted = attach(tinyLlama(), [pvera({ rank, initialScale: 0 })]);
  const r = reference();
  const gains = adapted.params.get(`${layer}.pvera_lambda_b`)!;
  const out = gains.shape[0]!;
  // One output alone, so that all its values are draws of one distribution: N(0, Σ B²), as μ and log σ² are 0.
  await r.write(
    gains,
    Float32Array.from({ length: out }, (_, i) => (i === 0 ? 1 : 0)),
  );
  const tokens = 4000;
  const { inDim } = adapted.model.linears.get(layer)!;
  const x = constant(new Float32Array(tokens * inDim).fill(1), [1, tokens, inDim]);
  const inTraining = adapted
    .training(constant(Uint32Array.of(1), []))
    .linears.get(layer)!
    .apply(x, noModel);
  const noise = sub(inTraining, adapted.model.linears.get(layer)!.apply(x, noModel));
  const { values, b } = await evaluate({ values: noise, b: adapted.state.get('pvera_B')! }, { executor: r });
  const first = Array.from({ length: tokens }, (_, i) => values![i * out]!);
  const variance = Array.from(b!.slice(0, rank) as Float32Array).reduce((sum, v) => sum + v * v, 0);
  const scaled = first.map((v) => v / Math.sqrt(variance));
  const moment = (power: number): number => scaled.reduce((sum, v) => sum + v ** power, 0) / tokens;
  expect(Math.abs(moment(1))).toBeLessThan(0.06);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.1);
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.8);
});
