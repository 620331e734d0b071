import {
  type DType,
  type Executor,
  type MatmulAttrs,
  matmul,
  matmulQuantized,
  type PackedFormat,
} from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import type { AnyOp, Sample } from '@peftjs/tensor/op';
import { expectReference, sampleInputs, sampleOutputs, sampleTitle } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { create } from 'webgpu';
import { type Gpu, openGpu } from '../device/dawn.ts';
import { executorOn } from '../executor/executor.ts';
import { pipelineCache } from '../executor/pipelines.ts';
import { shaderOf } from '../executor/shader.ts';
import type { Choice, DeviceFacts } from '../kernel.ts';
import { kernelOf } from '../kernel-of.ts';
import { matmulPlan } from './matmul-plan.ts';
import type { MatmulProblem, MatmulSide } from './matmul-problem.ts';
import type { Packing } from './packing.ts';

type AnySample = Sample<string, unknown>;

/** A real GPU with WebGPU's own limits and every feature. */
const gpuFacts: DeviceFacts = {
  f16: true,
  dot4: true,
  subgroups: true,
  software: false,
  workgroupMemory: 16384,
  maxInvocations: 256,
};

const sample = (
  a: readonly number[],
  b: readonly number[],
  attrs: MatmulAttrs = {},
  dtypes: Record<string, DType> = {},
): AnySample => ({ shapes: { a, b }, attrs, dtypes });

const both = { transposeA: true, transposeB: true };

/** Sizes that all can be read in fours: beyond one tile of each size, a few rows or columns, deep ones, batches, f16 on either side. */
const samplesInFours: readonly AnySample[] = [
  sample([132, 72], [72, 136]),
  sample([132, 72], [136, 72], { transposeB: true }),
  sample([72, 132], [72, 136], { transposeA: true }),
  sample([72, 132], [136, 72], both),
  sample([36, 72], [40, 72], { transposeB: true }, { b: 'f16' }),
  sample([36, 72], [72, 40], {}, { a: 'f16', b: 'f16' }),
  sample([1, 520], [97, 520], { transposeB: true }),
  sample([1, 520], [520, 96]),
  sample([5, 264], [200, 264], { transposeB: true }, { b: 'f16' }),
  sample([137, 260], [9, 260], { transposeB: true }),
  sample([3, 1544], [24, 1544], { transposeB: true }),
  sample([20, 1032], [24, 1032], { transposeB: true }, { b: 'f16' }),
  sample([2, 3, 36, 20], [3, 20, 40]),
  sample([2, 3, 5, 36], [2, 1, 40, 36], { transposeB: true }),
];

const headSample: AnySample = {
  shapes: { hidden: [24, 36], weight: [72, 36], labels: [24] },
  dtypes: { labels: 'i32' },
  values: { labels: (i: number) => (i % 3 === 0 ? -100 : (i * 31) % 72) },
  attrs: { ignoreIndex: -100, chunk: 16 },
};

const subjects: readonly (readonly [AnyOp, readonly AnySample[]])[] = [
  [matmul, [...matmul.samples, ...samplesInFours]],
  [matmulQuantized, matmulQuantized.samples],
  [ops.head_cross_entropy, [...ops.head_cross_entropy.samples, headSample]],
] as unknown as (readonly [AnyOp, readonly AnySample[]])[];

describe('every way to compute a product', () => {
  let gpu: Gpu;
  let executor: Executor;
  let ways: readonly string[] = [];
  let at = 0;
  /** Whether any product was computed in f16. */
  let rounds = false;
  /** Takes the way at `at` of every choice that has so many, and notes the longest list of them. */
  const choose = (choice: Choice): string | undefined => {
    if (choice.ways.length > ways.length) ways = choice.ways;
    const way = choice.ways[at];
    rounds ||= (way ?? choice.ways[0]!).startsWith('half');
    return way;
  };
  beforeAll(async () => {
    gpu = await openGpu({ adapter: 'software' });
    const { f16, subgroups } = gpu.facts;
    executor = executorOn(
      { ...gpu, facts: { ...gpuFacts, f16, subgroups, halfProducts: f16, choose } },
      { poison: true },
    );
  });
  afterAll(() => executor?.close());

  for (const [op, samples] of subjects)
    it.each(samples.map((one) => [op.name, sampleTitle(one), one] as const))('%s %s', async (_, __, one) => {
      ways = [];
      at = 0;
      do {
        rounds = false;
        await expectReference(op, one, {
          executor,
          tolerance: () => (rounds ? 4e-3 : 1e-5),
          title: () => `by ${ways[at]}`,
        });
      } while (++at < ways.length);
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
