import { grad } from '@peftjs/autograd';
import {
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
  sum,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { mustMatch } from '@peftjs/tensor/testing';
import { describe, expect, it } from 'vitest';
import { cpu } from '../src/index.ts';

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
