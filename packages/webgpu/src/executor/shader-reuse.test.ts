import {
  add,
  buildProgram,
  gather,
  input,
  matmul,
  mul,
  reshape,
  rmsNorm,
  ropePair,
  type Shape,
  silu,
  sum,
  type Tensor,
  transpose,
  variable,
} from '@peftjs/tensor';
import { type OpNode, ops } from '@peftjs/tensor/executor';
import { describe, expect, test } from 'vitest';
import { kernelOf } from '../kernel-of.ts';
import { scheduleProgram } from './schedule.ts';
import { shaderOf } from './shader.ts';

const [width, heads, vocabulary] = [64, 4, 300];
const weight = (name: string, ...shape: number[]): Tensor => variable(name, shape, () => new Float32Array(0));

/** A block of a decoder with its loss, and the kernels that its gradient takes. */
const block = (batch: number, tokens: number) => {
  const rows = batch * tokens;
  const split = (x: Tensor): Tensor => transpose(reshape(x, [batch, tokens, heads, width / heads]), [0, 2, 1, 3]);
  const linear = (name: string, x: Tensor, out = width): Tensor =>
    matmul(x, weight(name, out, x.shape.at(-1)!), { transposeB: true });
  const ids = input('ids', [rows], 'i32');
  const x = gather(weight('embedding', vocabulary, width), ids);
  const h = rmsNorm(x, weight('norm', width), { eps: 1e-5 });
  const angles: Shape = [tokens, width / heads / 2];
  const [cos, sin] = [input('cos', angles), input('sin', angles)];
  const [q, k] = ropePair(split(linear('q', h)), split(linear('k', h)), cos, sin);
  const low = matmul(mul(linear('a', h, 8), 2), weight('b', width, 8), { transposeB: true });
  const v = split(add(linear('v', h), low));
  const attrs = { causal: true, scale: 0.25 };
  const [y, logSumExp] = ops.attention(q, k, v, null, null, attrs);
  const joined = (t: Tensor): Tensor => reshape(transpose(t, [0, 2, 1, 3]), [rows, width]);
  const z = add(x, linear('o', joined(y)));
  const out = add(z, linear('down', mul(silu(linear('gate', z, 172)), linear('up', z, 172))));
  const labels = input('labels', [rows], 'i32');
  const [loss, dOut] = ops.head_cross_entropy(out, weight('head', vocabulary, width), labels, null, {
    ignoreIndex: -100,
    chunk: 1024,
  });
  const [dx] = ops.rms_norm_grad(x, weight('norm2', width), dOut, { eps: 1e-5 });
  const [dq, dk, dv] = ops.attention_grad(q, k, v, y, logSumExp, split(dx), null, null, attrs);
  const dB = matmul(joined(dv), h, { transposeA: true });
  return buildProgram({ outputs: { loss, dB, dq: sum(dq), dk: sum(dk) } });
};

const textsOf = (program: ReturnType<typeof block>, software: boolean): Set<string> => {
  const facts = { f16: false, subgroups: false, software, workgroupMemory: 32768, maxInvocations: 256 };
  const { steps } = scheduleProgram(program, { facts, maxBindings: 10 });
  return new Set(steps.flatMap((s) => (s.kind === 'dispatch' ? [shaderOf(s.dispatch).code] : [])));
};

describe.each([
  ['a software adapter', true],
  ['a GPU', false],
] as const)('on %s', (_, software) => {
  test('another batch or sequence length compiles almost no other kernel', () => {
    const first = textsOf(block(4, 128), software);
    for (const [batch, tokens] of [
      [4, 160],
      [2, 200],
      [8, 128],
    ] as const) {
      const more = [...textsOf(block(batch, tokens), software)].filter((text) => !first.has(text));
      // A product of whose depth one part more or less is made.
      expect(more.length, `${batch} x ${tokens}`).toBeLessThanOrEqual(1);
    }
    // Far shorter ones may be cut into other pieces, but most is the same.
    const short = [...textsOf(block(1, 24), software)];
    expect(short.filter((text) => !first.has(text)).length).toBeLessThan(short.length / 3);
  });
});

test('equal layers share their kernels', () => {
  const program = block(4, 128);
  const kernels = program.nodes.filter((node: OpNode) => kernelOf(node.op).kind === 'dispatch').length;
  expect(textsOf(program, false).size).toBeLessThan(kernels + 12);
});
