import {
  buildProgram,
  compile,
  type Executor,
  evaluate,
  input,
  matmulQuantized,
  reference,
  type Tensor,
  variable,
} from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import { mustMatch, sampleInputs, sampleOutputs, sampleTitle } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpu } from '../src/index.ts';
import { lower } from '../src/lower/lower.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await cpu({ threads: 1 });
});
afterAll(() => executor.close());

const op = ops.matmul_quantized;
/** Each way of packing, of three rows; as variables, so that the product may be of constants. */
const samples = op.samples.filter(
  ({ attrs, shapes }) => !attrs!.transposed && !attrs!.compute && shapes.x!.length === 1 + 1,
);

describe('products of few rows by packed matrices that nothing changes', () => {
  it.each(samples.map((sample) => [sampleTitle(sample), sample] as const))('%s', async (_, sample) => {
    const { tensors, feeds } = sampleInputs(
      op as never,
      { ...sample, shapes: { ...sample.shapes, x: [3, sample.attrs!.inDim] } } as never,
      5,
    );
    const parts = Object.entries(tensors).map(([name, t]) =>
      name === 'x' ? [name, t] : [name, variable(name, t.shape, feeds[name]!, t.dtype)],
    );
    const [y] = sampleOutputs(op as never, sample as never, Object.fromEntries(parts)) as [Tensor];
    const given = { x: feeds['x']! };
    const [got, wanted] = [
      await evaluate({ y }, { executor, feeds: given }),
      await evaluate({ y }, { executor: reference(), feeds: given }),
    ];
    mustMatch('y', y, got['y']!, wanted['y']!);
  });

  const operators = (outputs: Readonly<Record<string, Tensor>>): readonly string[] =>
    lower(buildProgram({ outputs }), { packsBits: true }).model.nodes.map(({ type }) => type);
  const matrix = (name: string) => ({
    codes: variable(
      `${name}.codes`,
      [8, 64],
      Uint8Array.from({ length: 512 }, (_, i) => i * 37),
      'u8',
    ),
    scale: variable(`${name}.scale`, [8, 2], new Float32Array(16).fill(0.5)),
  });
  const by = (x: Tensor, { codes, scale }: ReturnType<typeof matrix>): Tensor =>
    matmulQuantized(x, codes, scale, null, null, null, null, null, { format: 'int8', inDim: 64, block: 32 });

  it('are made by the operator for few bits, which of one input splits it once; those of many rows are not', () => {
    const x = input('x', [2, 64]);
    const both = operators({ q: by(x, matrix('q')), k: by(x, matrix('k')) });
    expect(both.filter((type) => type === 'MatMulNBits')).toHaveLength(2);
    expect(both.filter((type) => type === 'Round')).toHaveLength(2);
    expect(operators({ q: by(input('x', [40, 64]), matrix('q')) })).not.toContain('MatMulNBits');
  });

  it('follow values that are written, and what is no number stays none, in its row', async () => {
    const w = matrix('w');
    const program = await compile({ outputs: { y: by(input('x', [2, 64]), w) } }, { executor });
    const x = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i));
    const { y: before } = await program.run({ x });
    await executor.write(w.scale, new Float32Array(16).fill(1));
    const { y: after } = await program.run({ x });
    expect([...after!]).toEqual([...before!].map((v) => 2 * v));
    x[70] = Number.NaN;
    const { y: odd } = await program.run({ x });
    expect([...odd!].map(Number.isNaN)).toEqual([...before!].map((_, i) => i >= 8));
    program.close();
  });
});
