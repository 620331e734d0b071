import { grad } from '@peftjs/autograd';
import {
  buildProgram,
  byteSize,
  compile,
  dequantize,
  evaluate,
  input,
  matmul,
  matmulQuantized,
  mul,
  type PackedFormat,
  packedRow,
  reshape,
  sum,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { mustMatch } from '@peftjs/tensor/testing';
import { describe, expect, it } from 'vitest';
import { cpu } from '../src/index.ts';
import { lower } from '../src/lower/lower.ts';

const [rows, inDim, block, tokens] = [4000, 4100, 64, 3];

const packed = (format: PackedFormat): readonly [Variable, Variable] => {
  const { blocks, bytes } = packedRow({ format, inDim, block });
  return [
    variable('codes', [rows, bytes], () => Uint8Array.from({ length: rows * bytes }, (_, i) => (i * 97) >> 3), 'u8'),
    variable('scale', [rows, blocks], () =>
      Float32Array.from({ length: rows * blocks }, (_, i) => 1e-3 + (i % 5) * 1e-4),
    ),
  ];
};
const feeds = { x: Float32Array.from({ length: tokens * inDim }, (_, i) => Math.sin(i)) };

describe('products of whole numbers', () => {
  const sint8 = (name: string): readonly [Variable, Variable] => [
    variable(`${name}.codes`, [8, 12], () => new Uint8Array(96).fill(3), 'u8'),
    variable(`${name}.scale`, [8, 1], () => new Float32Array(8).fill(0.1)),
  ];
  const attrs = { format: 'sint8', inDim: 12, block: 12, compute: 'int8' } as const;

  it('of one input round it once; their gradients round each its own', () => {
    // As q, k and v see it: by way of reshapes of their own.
    const x = input('x', [2, 3, 12]);
    const products = ['q', 'k', 'v'].map((name) => {
      const [codes, scale] = sint8(name);
      return matmulQuantized(reshape(x, [-1, 12]), codes, scale, null, null, null, null, null, attrs);
    });
    const [q, k, v] = products as [Tensor, Tensor, Tensor];
    const rounded = (outputs: Readonly<Record<string, Tensor>>): number =>
      lower(buildProgram({ outputs })).model.nodes.filter(({ type }) => type === 'QuantizeLinear').length;
    expect(rounded({ q })).toBe(1);
    expect(rounded({ q, k, v })).toBe(1);
    expect(rounded({ dx: grad(sum(mul(mul(q, k), v)), [x])[0]! })).toBe(1 + 3);
  });
});

describe.each(['int8', 'nf4'] as const)('a %s matrix of more values than are unpacked at a time', (format) => {
  const [codes, scale] = packed(format);
  const attrs = { format, inDim, block };
  const x = input('x', [tokens, inDim]);
  const y = matmulQuantized(x, codes, scale, null, null, null, null, null, attrs);
  const [dx] = grad(sum(mul(y, y)), [x]) as [typeof x];

  it('gives the products that its values give', async () => {
    const executor = await cpu({ threads: 1 });
    const dense = dequantize(codes, scale, null, null, null, null, null, attrs);
    const plain = matmul(x, dense, { transposeB: true });
    const [plainDx] = grad(sum(mul(plain, plain)), [x]) as [typeof x];
    const got = await evaluate({ y, dx }, { executor, feeds });
    const wanted = await evaluate({ y: plain, dx: plainDx }, { executor, feeds });
    for (const [name, t] of Object.entries({ y, dx })) mustMatch(name, t, got[name]!, wanted[name]!);
    await executor.close();
  });

  it('is never there as f32 as a whole', async () => {
    const executor = await cpu({ threads: 1 });
    const program = await compile({ outputs: { y, dx } }, { executor });
    const stored = [codes, scale].reduce((n, v) => n + byteSize(v), 0);
    for (const v of [codes, scale]) await executor.read(v);
    const before = process.memoryUsage().rss;
    await program.run(feeds);
    const whole = 4 * rows * inDim;
    expect(program.plan.peakBytes - stored).toBeLessThan(0.8 * whole);
    expect(process.memoryUsage().rss - before).toBeLessThan(whole);
    await executor.close();
  });
});
