import {
  add,
  after,
  attention,
  compile,
  constant,
  evaluate,
  input,
  mul,
  reference,
  reshape,
  silu,
  stopGradient,
  sum,
  type Tensor,
  variable,
} from '@peftjs/tensor';
import { type Node, ops } from '@peftjs/tensor/executor';
import { describe, expect, test } from 'vitest';
import { coupled, grad, gradcheck, recomputed } from './index.ts';

const values = (n: number, seed = 1): Float64Array =>
  Float64Array.from({ length: n }, (_, i) => Math.sin(i * 2.3 + seed));
const f32 = (t: Float64Array): Float32Array => Float32Array.from(t);

test('gradients of a composition agree with differences', () => {
  const fn = (x: Tensor, y: Tensor): Tensor =>
    mul(silu(add(mul(x, y), reshape(y, [1, 4]))), sum(x, { axes: [1], keepDims: true }));
  expect(
    gradcheck(fn, [
      { shape: [3, 4], values: values(12) },
      { shape: [4], values: values(4, 2) },
    ]),
  ).toEqual([]);
});

test('gradients of attention with sinks, of the sinks too, agree with differences', () => {
  const keyMask = constant(Float32Array.of(1, 1, 0, 1, 0, 0, 0, 0), [2, 4]);
  const fn = (q: Tensor, k: Tensor, v: Tensor, sinks: Tensor): Tensor =>
    attention(q, k, v, { causal: true, window: 3, softCap: 2, keyMask, sinks });
  expect(
    gradcheck(fn, [
      { shape: [2, 2, 4, 3], values: values(48) },
      { shape: [2, 1, 4, 3], values: values(24, 2) },
      { shape: [2, 1, 4, 3], values: values(24, 3) },
      { shape: [2], values: Float64Array.of(0.4, -1) },
    ]),
  ).toEqual([]);
});

test('gradcheck finds a wrong rule', () => {
  const wrong = (x: Tensor): Tensor => mul(x, stopGradient(x));
  const found = gradcheck(wrong, [{ shape: [2], values: Float64Array.of(0.5, -2) }]);
  expect(found.map((m) => [m.argument, m.entry])).toEqual([
    [0, 0],
    [0, 1],
  ]);
  expect(found[1]!.numeric / found[1]!.analytic).toBeCloseTo(2, 6);
});

test('a loss that is not one value is refused', () => {
  const x = input('x', [3]);
  expect(() => grad(x, [x])).toThrow('grad: the loss must be one f32 value, got 3 f32');
});

test('what the loss does not depend on gets zeros, and stopGradient blocks', async () => {
  const a = variable('a', [2], Float32Array.of(1, 2));
  const b = variable('b', [2], Float32Array.of(3, 4));
  const [da, db] = grad(sum(mul(a, stopGradient(b))), [a, b]);
  const got = await evaluate({ da: da!, db: db! }, { executor: reference() });
  expect(got).toEqual({ da: Float32Array.of(3, 4), db: Float32Array.of(0, 0) });
});

test('no gradient of a frozen tensor enters the program', async () => {
  const w = variable('w', [64, 64], f32(values(4096)));
  const a = variable('a', [64], f32(values(64)));
  const loss = sum(mul(silu(mul(w, a)), w));
  const [da] = grad(loss, [a]);
  const frozen = await compile({ outputs: { da: da! } }, { executor: reference() });
  const both = await compile(
    { outputs: Object.fromEntries(grad(loss, [a, w]).map((g, i) => [`${i}`, g])) },
    { executor: reference() },
  );
  expect(frozen.plan.dispatches).toBeLessThan(both.plan.dispatches);
});

test('a tensor used twice receives the sum', async () => {
  const a = variable('a', [], Float32Array.of(3));
  const [da] = grad(mul(mul(a, a), a), [a]);
  expect((await evaluate({ da: da! }, { executor: reference() }))['da']![0]).toBeCloseTo(27);
});

test('checkpoint gives the same gradients and recomputes after the gradient arrives', async () => {
  const w = variable('w', [4], f32(values(4)));
  const block = (x: Tensor): Tensor => silu(mul(silu(mul(x, w)), add(x, w)));
  const run = (f: (x: Tensor) => Tensor): { value: Tensor; dw: Tensor } => {
    const x = mul(w, 2);
    const value = sum(f(f(x)));
    return { value, dw: grad(value, [w])[0]! };
  };
  const plain = await evaluate({ ...run(block) }, { executor: reference() });
  const stored = await evaluate({ ...run(recomputed(block)) }, { executor: reference() });
  expect(stored).toEqual(plain);
  const program = await compile({ outputs: run(recomputed(block)) }, { executor: reference() });
  const kept = await compile({ outputs: run(block) }, { executor: reference() });
  expect(program.plan.dispatches).toBeGreaterThan(kept.plan.dispatches);
  expect(after.name).toBe(ops.after.name);
});

describe('a chain of couplings', () => {
  const w = variable('w', [64], f32(values(64)));
  const chain = (length: number, rebuild: boolean): { value: Tensor; dw: Tensor } => {
    const fn = (z: Tensor): Tensor => silu(mul(silu(mul(z, w)), w));
    let [x, z] = [mul(w, 2), mul(w, 3)];
    for (let i = 0; i < length; i++) [x, z] = [z, coupled(x, z, fn, { factor: 0.3, rebuild })];
    const value = sum(mul(x, z));
    return { value, dw: grad(value, [w])[0]! };
  };

  test('has the gradients of one that is kept, but for rounding', async () => {
    const [rebuilt, kept] = [chain(6, true), chain(6, false)];
    const got = await evaluate(
      { r: rebuilt.dw, k: kept.dw, a: rebuilt.value, b: kept.value },
      { executor: reference() },
    );
    expect(got['a']).toEqual(got['b']);
    expect([...got['r']!].some((v, i) => v !== got['k']![i])).toBe(true);
    for (const [i, v] of got['r']!.entries())
      expect(Math.abs(v - got['k']![i]!)).toBeLessThan(1e-4 * Math.abs(v) + 1e-4);
  });

  test('keeps two values, however long it is', () => {
    /** Values of the forward pass that the gradient reads. */
    const readsOf = (length: number, rebuild: boolean): number => {
      const { value, dw } = chain(length, rebuild);
      const isForward = ({ node }: Tensor): boolean => node.kind === 'op' && node.id <= value.node.id;
      const [seen, kept, stack] = [new Set<Node>(), new Set<Node>(), [dw.node]];
      for (let node = stack.pop(); node; node = stack.pop()) {
        if (node.kind !== 'op' || seen.has(node)) continue;
        seen.add(node);
        for (const t of node.inputs) if (t) isForward(t) ? kept.add(t.node) : stack.push(t.node);
      }
      return kept.size;
    };
    expect(readsOf(12, true)).toBe(readsOf(4, true));
    expect(readsOf(12, false)).toBe(readsOf(4, false) + 8);
  });
});

test('a tensor behind which no gradient flows has one itself', async () => {
  const a = variable('a', [2], () => Float32Array.of(2, 3));
  const held = stopGradient(a);
  const { dHeld, dA } = await evaluate(
    Object.fromEntries(grad(sum(mul(held, held)), [held, a]).map((g, i) => [i === 0 ? 'dHeld' : 'dA', g])),
    { executor: reference() },
  );
  expect([...dHeld!, ...dA!]).toEqual([4, 6, 0, 0]);
});
