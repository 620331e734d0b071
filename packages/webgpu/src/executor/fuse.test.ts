import {
  add,
  buildProgram,
  exp,
  input,
  matmul,
  mul,
  type ProgramSpec,
  reshape,
  rmsNorm,
  silu,
  sub,
  sum,
  type Tensor,
  tanh,
  variable,
} from '@peftjs/tensor';
import type { OpNode } from '@peftjs/tensor/executor';
import { describe, expect, test } from 'vitest';
import { fuse } from './fuse.ts';

const x = input('x', [4, 8]);

/** Units as text: kernel and members joined by +, what is stored in parentheses. */
const units = (spec: ProgramSpec, maxBindings = 8): string[] =>
  fuse(buildProgram(spec), maxBindings).map(({ kernel, members, outs }) => {
    const names = (nodes: Iterable<OpNode>): string[] => [...nodes].map((node) => node.op.name);
    return `${[...(kernel ? [kernel.op.name] : []), ...names(members)].join('+')} (${names(outs).join(',')})`;
  });
const of = (...outputs: readonly Tensor[]): string[] =>
  units({ outputs: Object.fromEntries(outputs.map((t, i) => [`y${i}`, t])) });

describe('fuse', () => {
  test('chains and trees become one unit that stores only its result', () => {
    expect(of(mul(tanh(add(x, 1)), silu(x)))).toEqual(['add+tanh+silu+mul (mul)']);
  });

  test('reshapes of the same elements do not divide it; broadcasts do', () => {
    expect(of(tanh(reshape(silu(x), [32])))).toEqual(['silu+tanh (tanh)']);
    const row = exp(input('row', [8]));
    expect(of(add(tanh(x), row))).toEqual(['exp (exp)', 'tanh+add (add)']);
  });

  test('what others read is stored: results, updates, kernels', () => {
    const h = tanh(x);
    expect(of(silu(h), h)).toEqual(['tanh+silu (tanh,silu)']);
    expect(of(matmul(h, silu(h), { transposeB: true }))).toEqual(['tanh+silu (tanh,silu)', 'matmul (matmul)']);
    const w = variable('w', [4, 8], new Float32Array(32));
    expect(units({ updates: [[w, sub(w, h)]], outputs: { y: mul(h, 2) } })).toEqual(['tanh+sub+mul (sub,mul)']);
  });

  test('nothing joins across a kernel that stands between', () => {
    const h = tanh(x);
    const centred = sub(h, sum(h, { axes: [1], keepDims: true }));
    expect(of(silu(centred))).toEqual(['tanh (tanh)', 'sum (sum)', 'sub+silu (silu)']);
  });

  test('what a kernel reads is made before it, also where its readers join the kernel', () => {
    const h = add(x, input('z', [4, 8]));
    const products = mul(rmsNorm(h, input('w', [8]), { eps: 1e-5 }), h);
    expect(of(products)).toEqual(['add (add)', 'rms_norm+mul (mul)']);
    expect(of(mul(matmul(h, h, { transposeB: true }), input('y', [4, 4])), h)).toEqual([
      'add (add)',
      'matmul+mul (mul)',
    ]);
  });

  test('two groups join where an op needs both', () => {
    const [a, b] = [tanh(x), exp(input('z', [4, 8]))];
    expect(of(mul(a, b))).toEqual(['tanh+exp+mul (mul)']);
  });

  test('a unit binds no more buffers than allowed', () => {
    const inputs = Array.from({ length: 12 }, (_, i) => input(`x${i}`, [4]));
    const total = inputs.reduce((a: Tensor, b) => add(a, b));
    const parts = fuse(buildProgram({ outputs: { total } }), 5);
    expect(parts.map((u) => u.members.length)).toEqual([3, 3, 3, 2]);
  });

  test('empty tensors need no kernel', () => {
    expect(of(tanh(input('none', [0, 3])))).toEqual([]);
  });
});
