import {
  adamwStep,
  add,
  addSquares,
  compile,
  constant,
  type Executor,
  input,
  matmul,
  mul,
  normalValues,
  type ProgramSpec,
  randomSource,
  reference,
  reshape,
  type Shape,
  sizeOf,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { startOnEach } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';

let executor: Executor;
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true });
});
afterAll(() => executor.close());

const shapes: readonly Shape[] = [[8, 8], [3, 5], [7], [16, 8], [1], [4, 32], [8, 8]];
const values = (name: string, shape: Shape): Float32Array => normalValues(sizeOf(shape), 0.5, randomSource(1, name));
const hyper = constant(Float32Array.of(0.1, 0.9, 0.99, 0.1, 0.01, 0.5, 0.5, 1), [8]);

interface Weight {
  readonly w: Variable;
  readonly m: Variable;
  readonly v: Variable;
}

const weights = (count = shapes.length): Weight[] =>
  shapes.slice(0, count).map((shape, i) => ({
    w: variable(`w${i}`, shape, values(`w${i}`, shape)),
    m: variable(`m${i}`, shape, new Float32Array(sizeOf(shape))),
    v: variable(`v${i}`, shape, new Float32Array(sizeOf(shape))),
  }));

const step = (all: readonly Weight[], gradOf: (weight: Weight, i: number) => Tensor): ProgramSpec => {
  const grads = all.map(gradOf);
  const squares = grads.reduce<Tensor>((total, g) => addSquares(total, g), constant(Float32Array.of(0), []));
  const updates = all.flatMap(({ w, m, v }, i) => {
    const [w1, m1, v1] = adamwStep(w, grads[i]!, m, v, hyper);
    return [
      [w, w1],
      [m, m1],
      [v, v1],
    ] as const;
  });
  return { outputs: { squares }, updates };
};

const x = input('x', [1]);
/** A gradient that a kernel makes by itself: a product of a column and a row. */
const ownKernel = ({ w }: Weight): Tensor =>
  reshape(matmul(mul(reshape(w, [sizeOf(w.shape), 1]), x), constant(Float32Array.of(0.5), [1, 1])), w.shape);

const follow = async (spec: ProgramSpec, all: readonly Weight[], runs = 3) => {
  const definition = reference();
  await startOnEach(
    [executor, definition],
    all.flatMap(({ w, m, v }) => [w, m, v]),
  );
  const [got, want] = [await compile(spec, { executor }), await compile(spec, { executor: definition })];
  for (let run = 0; run < runs; run++) {
    const feeds = { x: Float32Array.of(run + 1) };
    const [have, wanted] = [await got.run(feeds), await want.run(feeds)];
    for (const [name, data] of Object.entries(wanted)) {
      const scale = Math.max(1, ...data.map(Math.abs));
      data.forEach((value, i) => void expect(Math.abs(have[name]![i]! - value) / scale, name).toBeLessThan(1e-5));
    }
    for (const variable of all.flatMap(({ w, m, v }) => [w, m, v])) {
      const data = await executor.read(variable);
      (await definition.read(variable)).forEach((value, i) => {
        expect(Math.abs(data[i]! - value), `${variable.node.name}[${i}] after run ${run}`).toBeLessThan(1e-5);
      });
    }
  }
  return got;
};

const optimiser = (kernels: readonly { readonly name: string; readonly count: number }[]): number =>
  kernels.filter((k) => /adamw|add_squares/.test(k.name)).reduce((n, k) => n + k.count, 0);

describe('packs', () => {
  test('step any number of weights, and sum their gradients, in three kernels', async () => {
    const all = weights();
    const { plan, close } = await follow(step(all, ownKernel), all);
    expect(optimiser(plan.kernels)).toBe(3);
    close();
    executor.release(all.flatMap(({ w, m, v }) => [w, m, v]));
  });

  test('copy gradients that cannot be made in place: inputs, results, the same twice, those made of one another', async () => {
    const all = weights();
    const seen = new Map<number, Tensor>();
    const spec = step(all, (weight, i) => {
      const made: Record<number, () => Tensor> = {
        3: () => mul(weight.w, x),
        4: () => x,
        5: () => reshape(mul(seen.get(3)!, ownKernel(all[3]!)), weight.w.shape),
        6: () => seen.get(0)!,
      };
      const gradient = (made[i] ?? (() => ownKernel(weight)))();
      seen.set(i, gradient);
      return gradient;
    });
    const { close } = await follow({ ...spec, outputs: { ...spec.outputs, result: seen.get(1)! } }, all);
    close();
    executor.release(all.flatMap(({ w, m, v }) => [w, m, v]));
  });

  test('old values that are wanted as results, or by other variables, are those from before', async () => {
    const all = weights();
    const seen = variable('seen', shapes[1]!, new Float32Array(15));
    const spec = step(all, ownKernel);
    const { close } = await follow(
      { outputs: { ...spec.outputs, old: all[0]!.w }, updates: [...spec.updates!, [seen, all[1]!.w]] },
      all,
    );
    close();
    executor.release([seen, ...all.flatMap(({ w, m, v }) => [w, m, v])]);
  });

  test('variables that lie in one buffer are exchanged', async () => {
    const all = weights();
    const whole = await compile(step(all, ownKernel), { executor });
    const [a, b] = [all[0]!.w, all[6]!.w];
    const values = [await executor.read(a), await executor.read(b)];
    const exchange = await compile({ updates: [[a, b] as const, [b, a] as const] }, { executor });
    await exchange.run();
    expect([await executor.read(b), await executor.read(a)]).toEqual(values);
    for (const executable of [whole, exchange]) executable.close();
    executor.release(all.flatMap(({ w, m, v }) => [w, m, v]));
  });

  test('programs over the same variables go on when another lays them otherwise, and after a release', async () => {
    const all = weights();
    const show = await compile({ outputs: { y: add(all[2]!.w, 0), z: mul(all[0]!.w, 1.5) } }, { executor });
    const before = await show.run();
    const whole = await compile(step(all, ownKernel), { executor });
    expect(await show.run()).toEqual(before);
    const part = await compile(step([all[2]!, all[0]!], ownKernel), { executor });
    expect(await show.run()).toEqual(before);
    await whole.run({ x: Float32Array.of(1) });
    await part.run({ x: Float32Array.of(1) });
    await whole.run({ x: Float32Array.of(1) });
    const after = await show.run();
    expect(after['y']).not.toEqual(before['y']);
    const { byKind } = executor.memory();
    executor.release(all.flatMap(({ w, m, v }) => [w, m, v]));
    expect(executor.memory().byKind.variables).toBeLessThan(byKind.variables);
    expect(await show.run()).toEqual(before);
    for (const executable of [show, whole, part]) executable.close();
    executor.release(all.flatMap(({ w, m, v }) => [w, m, v]));
    expect(executor.memory().byKind.variables).toBe(0);
  });
});
