import { matmul, matmulQuantized, type PackedFormat } from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import type { AnyOp } from '@peftjs/tensor/op';
import { expectReference, sampleInputs, sampleOutputs, sampleTitle } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { create } from 'webgpu';
import { pipelineCache } from '../executor/pipelines.ts';
import { shaderOf } from '../executor/shader.ts';
import type { Choice, DeviceFacts } from '../kernel.ts';
import { kernelOf } from '../kernel-of.ts';
import { type EveryWay, everyWay } from '../testing/every-way.ts';
import { productSamples } from '../testing/product-samples.ts';
import { matmulPlan } from './matmul-plan.ts';
import type { MatmulProblem, MatmulSide } from './matmul-problem.ts';
import type { Packing } from './packing.ts';

/** A real GPU with WebGPU's own limits and every feature. */
const gpuFacts: DeviceFacts = {
  f16: true,
  dot4: true,
  subgroups: true,
  software: false,
  workgroupMemory: 16384,
  maxInvocations: 256,
};

const subjects = ([matmul, matmulQuantized, ops.head_cross_entropy] as unknown as AnyOp[]).map(
  (op) => [op, [...op.samples, ...(productSamples[op.name] ?? [])]] as const,
);

describe('every way to compute a product', () => {
  let all: EveryWay;
  beforeAll(async () => {
    // Those two must be the adapter's own.
    const { f16: _f16, subgroups: _subgroups, ...facts } = gpuFacts;
    all = await everyWay({ adapter: 'software' }, facts);
  });
  afterAll(() => all?.executor.close());

  for (const [op, samples] of subjects)
    it.each(samples.map((one) => [op.name, sampleTitle(one), one] as const))('%s %s', async (_, __, one) => {
      await all.each((way, rounds) =>
        expectReference(op, one, {
          executor: all.executor,
          tolerance: () => (rounds() ? 4e-3 : 1e-5),
          title: () => `by ${way()}`,
        }),
      );
    });

  it('is a way of some sample', () => {
    const offered = new Set<string>();
    const note = (choice: Choice): undefined => void choice.ways.forEach((way) => offered.add(way));
    for (const [op, samples] of subjects)
      for (const one of samples) {
        const { tensors } = sampleInputs(op, one, 3);
        const outs = sampleOutputs(op, one, tensors);
        const kernel = kernelOf(op);
        if (kernel.kind === 'dispatch')
          kernel.plan({ inputs: tensors, outs }, one.attrs ?? {}, { ...gpuFacts, halfProducts: true, choose: note });
      }
    const variants = ['skinny', 'subgroups', 'registers-8', 'registers-1', 'tile-64', 'tile-32'];
    const inFours = ['vectors-64', 'vectors-32', 'vectors-128', 'half-64', 'half-32', 'half-128'];
    const splits = ['skinny split', 'subgroups split', 'vectors-64 split', 'half-64 split', 'tile-64 split'];
    const whole = ['whole-64', 'whole-32', 'whole-registers-8', 'whole-registers-1', 'whole-64 split'];
    expect([...variants, ...inFours, ...splits, ...whole].filter((name) => !offered.has(name))).toEqual([]);
  });
});

describe('every kernel of a product', () => {
  const sizes = [
    { m: 64, n: 64, k: 64 },
    { m: 65, n: 63, k: 61 },
    { m: 64, n: 4, k: 64 },
    { m: 3, n: 64, k: 1024 },
    { m: 1, n: 64, k: 64 },
  ];
  const packed = (format: PackedFormat, more: Partial<Packing> = {}): Partial<MatmulSide> => ({
    packing: { format, scales: 's', block: 32, ...more },
    pitch: 64,
  });
  const rightSides: Partial<MatmulSide>[] = [
    {},
    { half: true },
    packed('int8'),
    packed('nf4'),
    packed('uint5', { hasMin: true, high: 'h' }),
  ];
  const sides = [false, true];
  /** Both sides as products of whole numbers have them. */
  const whole = (transposed: boolean): readonly [Partial<MatmulSide>, Partial<MatmulSide>] => [
    packed('sint8', { block: 64 }),
    { packing: { format: 'sint8', block: 64, ...(transposed && { scales: 's' }) }, pitch: 64, transposed },
  ];

  /** All WGSL texts of a product on a device with all features, ways and storage. */
  const shaders = () => {
    const found = new Map<string, { readonly shader: ReturnType<typeof shaderOf>; readonly name: string }>();
    const pairs: (readonly [Partial<MatmulSide>, Partial<MatmulSide>])[] = [
      ...rightSides.flatMap((right) =>
        sides.flatMap((transposedA) =>
          sides.map((transposed) => [{ transposed: transposedA }, { transposed, ...right }] as const),
        ),
      ),
      ...sides.map(whole),
    ];
    for (const size of sizes)
      for (const [left, right] of pairs) {
        const problem: MatmulProblem = {
          ...size,
          a: { buffer: 'a', ...left },
          b: { buffer: 'b', ...right },
          out: 'out0',
          ...(!left.transposed && !left.packing && { factors: { buffer: 'factors', first: 0 } }),
        };
        const choose = ({ ways, trial }: Choice): undefined => {
          for (const name of ways)
            for (const dispatch of trial(name).plan.dispatches) {
              const shader = shaderOf(dispatch);
              found.set(shader.code, { shader, name });
            }
        };
        matmulPlan(problem, { ...gpuFacts, halfProducts: true, choose });
      }
    return [...found.values()];
  };

  it("compiles for a device with f16 and subgroups: Dawn's null backend, which has all features and runs nothing", async () => {
    let entry: GPU | null = create(['backend=null']);
    const adapter = await entry.requestAdapter();
    const device = await adapter!.requestDevice({ requiredFeatures: ['shader-f16', 'subgroups'] });
    try {
      const pipelines = pipelineCache(device);
      const all = shaders();
      await Promise.all(all.map(({ shader, name }) => pipelines.get(shader, name)));
      const names = new Set(all.map(({ name }) => name.split(' ')[0]!));
      for (const name of [
        'whole-64',
        'whole-32',
        'whole-registers-8',
        'half-128',
        'subgroups',
        'vectors-128',
        'tile-32',
        'skinny',
        'registers-8',
      ])
        expect([...names]).toContain(name);
    } finally {
      device.destroy();
      entry = null;
    }
  });
});
