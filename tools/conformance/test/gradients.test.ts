import { grad } from '@peftjs/autograd';
import { buildProgram, constant, evaluate, type Feeds, mul, reference, sizeOf, sum, type Tensor } from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import type { AnyOp } from '@peftjs/tensor/op';
import { sampleInputs, sampleOutputs } from '@peftjs/tensor/testing';
import { distance } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import { executors, tolerance } from './executors.ts';

type Sample = AnyOp['samples'][number];

const differentiable = (Object.values(ops) as unknown as AnyOp[]).filter((op) => op.vjp !== 'none');

/** Up to three samples of each: of all that are not empty and have an f32 output. */
const samplesOf = (op: AnyOp): readonly Sample[] =>
  op.samples
    .filter((s) => Object.values(s.shapes).every((shape) => sizeOf(shape ?? [])) && outputOf(op, s).dtype === 'f32')
    .slice(0, 3);

const outputOf = (op: AnyOp, sample: Sample): Tensor =>
  sampleOutputs(op, sample, sampleInputs(op, sample, 3).tensors)[0]!;

/** Gradients of a weighted sum of the first output, by input, and what they must be fed. */
const gradientsOf = (
  op: AnyOp,
  sample: Sample,
): { readonly grads: Readonly<Record<string, Tensor>>; readonly feeds: Feeds } => {
  const { tensors, feeds } = sampleInputs(op, sample, 3);
  const y = sampleOutputs(op, sample, tensors)[0]!;
  const weights = constant(
    Float32Array.from({ length: sizeOf(y.shape) }, (_, i) => Math.cos(i * 1.7 + 0.3)),
    y.shape,
  );
  const inputs = Object.entries(tensors).filter(([, t]) => t.dtype === 'f32');
  const made = grad(
    sum(mul(y, weights)),
    inputs.map(([, t]) => t),
  );
  const grads = Object.fromEntries(inputs.map(([name], i) => [name, made[i]!]));
  const names = new Set(buildProgram({ outputs: grads }).inputs.map((n) => n.name));
  return { grads, feeds: Object.fromEntries(Object.entries(feeds).filter(([name]) => names.has(name))) };
};

describe.each(executors.slice(1))('gradients on %s', (_, open) => {
  test.each(differentiable.map((op) => [op.name, op] as const))('%s', async (_name, op) => {
    const executor = await open();
    for (const sample of samplesOf(op)) {
      const { grads, feeds } = gradientsOf(op, sample);
      const got = await evaluate(grads, { executor, feeds });
      const wanted = await evaluate(grads, { executor: reference(), feeds });
      for (const name of Object.keys(grads)) {
        const scale = Math.max(1, ...wanted[name]!.map(Math.abs));
        expect(distance(got[name]!, wanted[name]!) / scale, `${name} of ${JSON.stringify(sample.shapes)}`).toBeLessThan(
          tolerance,
        );
      }
    }
  });
});
