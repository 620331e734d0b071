import {
  add,
  buildProgram,
  compile,
  type Executor,
  input,
  matmul,
  normalValues,
  randomSource,
  reference,
  reshape,
  rope,
  silu,
  sizeOf,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';

let executor: Executor;
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true });
});
afterAll(() => executor.close());

const [batch, tokens, heads, groups, headDim] = [2, 5, 6, 3, 8];
const split = (x: Tensor, count: number): Tensor =>
  transpose(reshape(x, [batch, tokens, count, headDim]), [0, 2, 1, 3]);
const joined = (x: Tensor): Tensor => reshape(transpose(x, [0, 2, 1, 3]), [batch * tokens, x.shape[1]! * headDim]);
const rows = (name: string, count: number): Tensor => input(name, [batch * tokens, count * headDim]);
const [cos, sin] = [input('cos', [tokens, headDim / 2]), input('sin', [tokens, headDim / 2])];

/** Runs on both executors, compares, and tells the kernels. */
const check = async (outputs: Readonly<Record<string, Tensor>>): Promise<string[]> => {
  const { inputs } = buildProgram({ outputs });
  const feeds = Object.fromEntries(
    inputs.map(({ name, outs: [spec] }) => [name, normalValues(sizeOf(spec!.shape), 1, randomSource(1, name))]),
  );
  const executable = await compile({ outputs }, { executor });
  const [got, want] = [
    await executable.run(feeds),
    await (await compile({ outputs }, { executor: reference() })).run(feeds),
  ];
  for (const name of Object.keys(outputs))
    want[name]!.forEach((w, i) => {
      expect(Math.abs(got[name]![i]! - w), `${name}[${i}]`).toBeLessThan(1e-4 * Math.max(1, Math.abs(w)));
    });
  executable.close();
  return executable.plan.kernels.flatMap((k) => Array<string>(k.count).fill(k.name.replace(/\(.*?\)/, '')));
};

describe('transposes', () => {
  test('around attention, forward and backward, move nothing', async () => {
    const [q, k] = [split(rows('q', heads), heads), split(rows('k', groups), groups)].map((x) => rope(x, cos, sin)) as [
      Tensor,
      Tensor,
    ];
    const v = split(rows('v', groups), groups);
    const attrs = { causal: true, scale: 0.3 };
    const [y, logSumExp] = ops.attention(q, k, v, null, null, attrs);
    const dy = split(rows('dy', heads), heads);
    const [dq, dk, dv] = ops.attention_grad(q, k, v, y, logSumExp, dy, null, null, attrs);
    const back = (t: Tensor): Tensor => joined(rope(t, cos, sin, { inverse: true }));
    const kernels = await check({ y: joined(y), dq: back(dq), dk: back(dk), dv: joined(dv) });
    expect(kernels.filter((name) => name.includes('transpose'))).toEqual([]);
    expect(kernels).toHaveLength(2 + 1 + 3 + 2);
  });

  test('are made where somebody needs the rows in order', async () => {
    const x = split(rows('x', heads), heads);
    // A result, and a reader that can't.
    expect(await check({ x, y: silu(x) })).toContain('transpose');
    // Two orders of one output; its own order as a result.
    const turned = rope(x, cos, sin);
    const kernels = await check({ y: joined(turned), z: transpose(turned, [1, 0, 2, 3]), turned });
    expect(kernels.filter((name) => name === 'transpose')).toHaveLength(2);
  });

  test('of the last axis are made', async () => {
    expect(await check({ y: transpose(input('x', [3, 4]), [1, 0]) })).toEqual(['transpose']);
  });
});

describe('what a kernel stores', () => {
  test('elementwise ops join it, also over an output in another order', async () => {
    const x = split(rows('x', heads), heads);
    const y = add(joined(rope(x, cos, sin)), rows('z', heads));
    expect(await check({ y })).toEqual(['rope + add']);
  });

  test('a value that others read is stored too, and split products end in the ops that follow', async () => {
    const a = input('a', [4, 600]);
    const product = matmul(a, input('b', [600, 8]));
    const names = await check({ product, y: add(silu(product), input('bias', [8])) });
    expect(names).toHaveLength(2);
    expect(names.join()).toContain('join parts + silu+add');
  });
});
