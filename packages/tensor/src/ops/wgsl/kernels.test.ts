import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AnyOp } from '../../define-op.ts';
import type { TypedArray } from '../../dtype.ts';
import { evaluate } from '../../executor.ts';
import type { OpNode } from '../../graph.ts';
import type { DeviceFacts } from '../../kernel.ts';
import { reference } from '../../reference/executor.ts';
import { runKernel } from '../../testing/run-kernel.ts';
import { sampleInputs, sampleOutputs, sampleTitle } from '../../testing/samples.ts';
import { type Gpu, openGpu } from '../../webgpu/dawn.ts';
import { adamw } from '../adamw.ts';
import { attentionOp } from '../attention.ts';
import { attentionGradOp } from '../attention-grad.ts';
import { headCrossEntropyOp } from '../head-cross-entropy.ts';
import { layerNorm } from '../layer-norm.ts';
import { layerNormGrad } from '../layer-norm-grad.ts';
import { logSoftmax } from '../log-softmax.ts';
import { matmul } from '../matmul.ts';
import { rmsNorm } from '../rms-norm.ts';
import { rmsNormGrad } from '../rms-norm-grad.ts';
import { rope } from '../rope.ts';
import { softmax } from '../softmax.ts';

// What kernels are told, so that the variants for real GPUs run here too.
const told: Readonly<Record<string, Partial<DeviceFacts>>> = {
  'a software adapter': { software: true },
  'a GPU': { software: false, workgroupMemory: 16384, maxInvocations: 256 },
};

const ops = [adamw, attentionOp, attentionGradOp, headCrossEntropyOp, layerNorm, layerNormGrad, logSoftmax, matmul, rmsNorm, rmsNormGrad, rope, softmax] as unknown as AnyOp[];

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: 'software' });
});
afterAll(() => gpu?.close());

const worst = (actual: TypedArray, expected: TypedArray): number => {
  let scale = 1;
  for (const v of expected) scale = Math.max(scale, Math.abs(v));
  // A NaN counts as worst.
  return actual.reduce((most: number, v: number, i: number) => (Math.abs(v - expected[i]!) / scale <= most ? most : Math.abs(v - expected[i]!) / scale), 0);
};

const definition = async (node: OpNode, outs: ReturnType<typeof sampleOutputs>, feeds: Parameters<typeof runKernel>[2]['feeds']) => {
  const results = await evaluate(Object.fromEntries(outs.map((t, i) => [`${i}`, t])), reference(), feeds);
  return node.outs.map((_, i) => results[`${i}`]!);
};

for (const op of ops) {
  for (const [device, facts] of Object.entries(told)) {
    describe(`${op.name} for ${device}`, () => {
      it.each(op.samples.map((sample) => [sampleTitle(sample), sample] as const))('%s', async (_, sample) => {
        const { tensors, feeds } = sampleInputs(op, sample, 7);
        const outs = sampleOutputs(op, sample, tensors);
        const node = outs[0]!.node as OpNode;
        const expected = await definition(node, outs, feeds);
        const results = await runKernel(gpu, node, { feeds, facts });
        for (const [i, result] of results.entries()) expect(worst(result!, expected[i]!), `output ${i}`).toBeLessThan(2e-5);
        // Each output alone is the same to the bit as with the others: skipping changes nothing, and a second run neither.
        for (const i of outs.length > 1 ? outs.keys() : []) {
          const alone = await runKernel(gpu, node, { feeds, facts, wanted: outs.map((__, j) => j === i) });
          expect(alone[i]).toEqual(results[i]);
          expect(alone.filter((out) => out)).toHaveLength(1);
        }
      });
    });
  }
}
