import { evaluate, reference } from '@peftjs/tensor';
import { type OpNode, ops as records } from '@peftjs/tensor/executor';
import type { AnyOp } from '@peftjs/tensor/op';
import { sampleInputs, sampleOutputs, sampleTitle } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gpu, openGpu } from '../device/dawn.ts';
import { runKernel } from '../testing/run-kernel.ts';

// The variants for real GPUs run here too, by what kernels are told of the device.
const names = [
  'argmax',
  'concat',
  'gather',
  'max',
  'mean',
  'pad',
  'random_bits',
  'scatter_add',
  'slice',
  'slice_update',
  'sum',
  'take_along_axis',
  'top_k',
  'transpose',
] as const;

const ops = new Map(Object.entries(records) as unknown as [string, AnyOp][]);

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: 'software' });
});
afterAll(() => gpu?.close());

for (const name of names) {
  const op = ops.get(name)!;
  describe.each([
    ['a software adapter', true],
    ['a GPU', false],
  ])(`${name} for %s`, (_device, software) => {
    it.each(op.samples.map((sample) => [sampleTitle(sample), sample] as const))('%s', async (_, sample) => {
      const { tensors, feeds } = sampleInputs(op, sample, 7);
      const outs = sampleOutputs(op, sample, tensors);
      const expected = await evaluate(Object.fromEntries(outs.map((t, i) => [`${i}`, t])), {
        executor: reference(),
        feeds,
      });
      const results = await runKernel(gpu, outs[0]!.node as OpNode, { feeds, facts: { software } });
      for (const [i, result] of results.entries()) {
        expect(result!.length).toBe(expected[`${i}`]!.length);
        for (const [at, v] of expected[`${i}`]!.entries())
          expect(Math.abs(result![at]! - v), `output ${i} at ${at}`).toBeLessThanOrEqual(
            2e-5 * Math.max(1, Math.abs(v)),
          );
      }
    });
  });
}
