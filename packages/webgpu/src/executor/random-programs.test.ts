import {
  adamwStep,
  add,
  addSquares,
  attention,
  broadcastTo,
  buildProgram,
  cast,
  compile,
  constant,
  type Executor,
  input,
  matmul,
  mul,
  normalValues,
  type ProgramSpec,
  type Random,
  randomSource,
  reference,
  reshape,
  rmsNorm,
  rsqrt,
  sigmoid,
  silu,
  softmax,
  sub,
  sum,
  type Tensor,
  tanh,
  transpose,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import { startOnEach } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';

/** A rounding to f16 that falls the other way makes 5e-4, and later steps more. */
const tolerance = 5e-3;

const pick = <T>(random: Random, items: readonly T[]): T => items[Math.floor(random() * items.length)]!;

const square = (t: Tensor): Tensor => mul(t, t);

type Maker = (random: Random, any: () => Tensor) => readonly Tensor[];

/** Ways to make a new tensor of others, with values that stay small; kernels can do them in parts. */
const inParts = ([rows, width]: readonly [number, number]): readonly Maker[] => [
  (_, any) => [silu(any())],
  (_, any) => [tanh(add(any(), any()))],
  (_, any) => [mul(sigmoid(any()), any())],
  (random, any) => [mul(any(), random())],
  (_, any) => {
    const norm = addSquares(sum(square(any())), any());
    return [mul(any(), rsqrt(add(addSquares(norm, any()), 1)))];
  },
  (_, any) => [sub(any(), sum(any(), { axes: [1], keepDims: true }))],
  (_, any) => [add(any(), sum(any(), { axes: [0] }))],
  (_, any) => [reshape(tanh(reshape(any(), [rows / 2, 2 * width])), [rows, width])],
  (_, any) => [cast(cast(tanh(any()), { dtype: 'f16' }), { dtype: 'f32' })],
  (_, any) => [mul(any(), broadcastTo(reshape(sum(any(), {}), [1]), [rows, width]))],
  (_, any) =>
    adamwStep(
      any(),
      any(),
      any(),
      square(any()),
      constant(Float32Array.of(0.01, 0.9, 0.99, 0.5, 0.1, 0.5, 0.5, 1), [8]),
    ),
];

/** The same for [6, 10] tensors, with kernels that need them as a whole. */
const asWholes: readonly Maker[] = [
  (_, any) => [tanh(add(matmul(tanh(any()), matmul(tanh(any()), tanh(any()), { transposeA: true })), silu(any())))],
  (_, any) => [mul(rmsNorm(any(), tanh(sum(any(), { axes: [0] })), { eps: 0.1 }), any())],
  (_, any) => ops.rms_norm_grad(any(), tanh(sum(any(), { axes: [0] })), any(), { eps: 0.1 }).slice(0, 1),
  (_, any) => {
    const heads = (): Tensor => transpose(reshape(any(), [1, 6, 5, 2]), [0, 2, 1, 3]);
    const y = attention(heads(), heads(), heads(), { causal: true });
    return [tanh(reshape(transpose(y, [0, 2, 1, 3]), [6, 10]))];
  },
  (random, any) => {
    const heads = (): Tensor => transpose(reshape(any(), [1, 6, 5, 2]), [0, 2, 1, 3]);
    const [window, softCap] = [1 + Math.floor(7 * random()), 0.1 + 2 * random()];
    const y = attention(heads(), heads(), heads(), { causal: true, window, softCap });
    return [tanh(reshape(transpose(y, [0, 2, 1, 3]), [6, 10]))];
  },
  (_, any) => [softmax(any())],
  (_, any) => [matmul(softmax(matmul(any(), any(), { transposeB: true })), any())],
  (_, any) => [transpose(reshape(any(), [10, 6]), [1, 0])],
];

interface Case {
  readonly spec: ProgramSpec;
  readonly variables: readonly Variable[];
}

/**
 * A program of random shape over one input and four variables, some of which it updates, also with each other's old
 * values.
 */
const randomCase = (seed: number, shape: readonly [number, number], makers: readonly Maker[]): Case => {
  const random = randomSource(seed, 'programs');
  const size = shape[0] * shape[1];
  const values = (): Float32Array => normalValues(size, 0.5, random);
  const variables = ['a', 'b', 'c', 'd'].map((name) => variable(name, shape, values()));
  const tensors: Tensor[] = [input('x', shape), constant(values(), shape), ...variables];
  const steps = 3 + Math.floor(random() * 22);
  for (let i = 0; i < steps; i++) {
    // Mostly recent tensors, so that chains grow.
    const any = (): Tensor => (random() < 0.6 ? pick(random, tensors.slice(-4)) : pick(random, tensors));
    tensors.push(...pick(random, makers)(random, any));
  }
  const outputs = Object.fromEntries(
    Array.from({ length: 1 + Math.floor(random() * 3) }, (_, i) => [`y${i}`, pick(random, tensors)]),
  );
  const updated = variables.filter(() => random() < 0.6);
  return { spec: { outputs, updates: updated.map((v) => [v, pick(random, tensors)] as const) }, variables };
};

const far = (got: ArrayLike<number>, want: ArrayLike<number>): number =>
  Array.from(want, (w, i) => Math.abs(got[i]! - w) / Math.max(1, Math.abs(w))).reduce(
    (a, d) => (Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(a, d)),
    0,
  );

let executor: Executor;
let narrow: Executor;
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true });
  narrow = executorOn(await openGpu({ adapter: 'software' }), { poison: true, maxBindingBytes: 2048 });
});
afterAll(async () => {
  await executor.close();
  await narrow.close();
});

/** Runs a program several times on an executor and by the definition, and compares results and variables. */
const check = async (
  on: Executor,
  seed: number,
  { spec, variables }: Case,
  size: number,
  runs: number,
): Promise<void> => {
  const definition = reference();
  await startOnEach([on, definition], variables);
  const [wanted, got] = [await compile(spec, { executor: definition }), await compile(spec, { executor: on })];
  for (let run = 0; run < runs; run++) {
    const x = normalValues(size, 0.5, randomSource(seed, `feed ${run}`));
    const feeds = buildProgram(spec).inputs.length > 0 ? { x } : {};
    const [want, have] = [await wanted.run(feeds), await got.run(feeds)];
    for (const name of Object.keys(want))
      expect(far(have[name]!, want[name]!), `${name} of run ${run}`).toBeLessThan(tolerance);
    for (const v of variables)
      expect(far(await on.read(v), await definition.read(v)), `${v.node.name} after run ${run}`).toBeLessThan(
        tolerance,
      );
  }
  got.close();
  on.release(variables);
};

test.each(Array.from({ length: 80 }, (_, seed) => seed))(
  'random program %i: results and variables as the reference has them, run after run',
  async (seed) => {
    const shape = [6, 10] as const;
    await check(executor, seed, randomCase(seed, shape, [...inParts(shape), ...asWholes]), 60, 3);
  },
);

test.each(Array.from({ length: 30 }, (_, seed) => seed))(
  'random program %i of tensors that no kernel may bind as a whole: the same',
  async (seed) => {
    // Three parts each. Norms of so many values carry what is rounded from run to run, so there is one.
    const shape = [12, 128] as const;
    await check(narrow, seed, randomCase(seed, shape, inParts(shape)), 12 * 128, 1);
  },
);
