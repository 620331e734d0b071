import {
  add,
  cast,
  concat,
  constant,
  type Executor,
  gather,
  input,
  matmul,
  mean,
  mul,
  numberToHalf,
  reshape,
  slice,
  sum,
  type Tensor,
  transpose,
  variable,
} from '@peftjs/tensor';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fitExpression, inWords, valueOf } from '../src/export/size-expression.ts';
import { traceSizes } from '../src/export/trace-sizes.ts';
import { cpu, type OnnxFilesOptions, onnxFiles } from '../src/index.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await cpu({ threads: 1 });
});
afterAll(() => executor.close());

interface Sizes {
  readonly n: number;
  readonly m: number;
}

const sessionOf = async (
  build: (sizes: Sizes) => Readonly<Record<string, Tensor>>,
  options: Pick<OnnxFilesOptions, 'inputs'> = {},
): Promise<ort.InferenceSession> => {
  const files = await onnxFiles((sizes: Sizes) => ({ outputs: build(sizes) }), {
    executor,
    sizes: { n: 1, m: 0 },
    name: 'x.onnx',
    ...options,
  });
  return ort.InferenceSession.create(files.get('x.onnx') as Uint8Array);
};

const floats = (values: readonly number[], dims: readonly number[]): ort.Tensor =>
  new ort.Tensor('float32', Float32Array.from(values), dims);
const counting = (...dims: readonly number[]): ort.Tensor =>
  floats(
    Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => i),
    dims,
  );
const shapes = (list: ort.InferenceSession['inputMetadata']) =>
  Object.fromEntries(list.flatMap((v) => (v.isTensor ? [[v.name, v.shape]] : [])));

describe('a program of free sizes', () => {
  it('is one file for all of them', async () => {
    const w = variable('w', [3, 2], Float32Array.of(1, 2, 3, 4, 5, 6));
    const session = await sessionOf(({ n, m }) => {
      const [a, b] = [input('a', [n, 3]), input('b', [m, 3])];
      const both = concat(a, b, { axis: 0 });
      const pairs = reshape(transpose(reshape(matmul(both, w), [n + m, 2, 1]), [1, 0, 2]), [2 * (n + m)]);
      return {
        pairs,
        outer: reshape(matmul(a, both, { transposeB: true }), [n * (n + m)]),
        last: slice(both, { axis: 0, start: n, end: n + m }),
      };
    });
    expect(shapes(session.outputMetadata)).toEqual({
      pairs: ['2 * n + 2 * m'],
      outer: ['n * (n + m)'],
      last: ['m', 3],
    });
    for (const [n, m] of [
      [1, 0],
      [1, 1],
      [2, 3],
      [17, 19],
      [200, 5],
    ] as const) {
      const { pairs, outer, last } = await session.run({ a: counting(n, 3), b: counting(m, 3) });
      const rows = [...Array(n).keys(), ...Array(m).keys()].map((r) => [3 * r, 3 * r + 1, 3 * r + 2]);
      const dot = (x: readonly number[], y: readonly number[]): number => x.reduce((s, v, i) => s + v * y[i]!, 0);
      expect([...(pairs!.data as Float32Array)]).toEqual(
        [
          [1, 3, 5],
          [2, 4, 6],
        ].flatMap((c) => rows.map((row) => dot(row, c))),
      );
      expect([...(outer!.data as Float32Array)]).toEqual(rows.slice(0, n).flatMap((x) => rows.map((y) => dot(x, y))));
      expect([...(last!.data as Float32Array)]).toEqual(rows.slice(n).flat());
    }
    await session.release();
  });

  it('has inputs as they are asked for: one for two uses, integers of 64 bits, places of a mask', async () => {
    const table = variable('table', [4, 2], Uint16Array.from([0, 1, 2, 3, 4, 5, 6, 7], numberToHalf), 'f16');
    const session = await sessionOf(
      ({ n, m }) => ({
        rows: add(
          cast(gather(table, input('at', [n, m], 'i32')), { dtype: 'f32' }),
          reshape(input('kept', [n, m]), [n, m, 1]),
        ),
      }),
      { inputs: { kept: { name: 'mask', type: 'int64' }, at: { name: 'mask', type: 'int64', as: 'places' } } },
    );
    expect(shapes(session.inputMetadata)).toEqual({ mask: ['n', 'm'] });
    const mask = new ort.Tensor('int64', BigInt64Array.of(0n, 0n, 1n, 1n, 1n, 1n, 0n, 0n), [2, 4]);
    const { rows } = await session.run({ mask });
    expect([...(rows!.data as Float32Array)]).toEqual([0, 1, 0, 1, 1, 2, 3, 4, 1, 2, 3, 4, 2, 3, 2, 3]);
    const long = new ort.Tensor('int64', new BigInt64Array(5).fill(1n), [1, 5]);
    await expect(session.run({ mask: long })).rejects.toThrow(/out of data bounds/);
    await session.release();
  });

  it('counts where the host has counted: 0, step, 2 · step, … by a step that is fixed or a size', async () => {
    const session = await sessionOf(({ n, m }) => {
      const [a, b] = [input('a', [n]), input('b', [m, 3])];
      const twos = Float32Array.from({ length: n }, (_, i) => 2 * i);
      const starts = Int32Array.from({ length: m }, (_, i) => i * n);
      // Of n · m values those at i·n: gather knows that the last is at n·m − 1.
      const sums = sum(b, { axes: [1] });
      const every = reshape(matmul(reshape(sums, [m, 1]), reshape(add(a, 1), [1, n])), [m * n]);
      return {
        firsts: gather(every, constant(starts, [m])),
        sum: add(a, constant(twos, [n])),
        rows: add(sums, cast(constant(starts, [m]), { dtype: 'f32' })),
      };
    });
    for (const [n, m] of [
      [1, 1],
      [4, 3],
      [50, 2],
    ] as const) {
      const { sum: sums, rows, firsts } = await session.run({ a: counting(n), b: counting(m, 3) });
      expect([...(sums!.data as Float32Array)]).toEqual(Array.from({ length: n }, (_, i) => 3 * i));
      expect([...(firsts!.data as Float32Array)]).toEqual(Array.from({ length: m }, (_, i) => 9 * i + 3));
      expect([...(rows!.data as Float32Array)]).toEqual(Array.from({ length: m }, (_, i) => 9 * i + 3 + i * n));
    }
    await session.release();
  });

  it.each<[string, (sizes: Sizes) => Tensor, RegExp]>([
    [
      'a constant that the host makes of the sizes',
      ({ n }) =>
        mul(
          input('x', [n]),
          constant(
            Float32Array.from({ length: n }, (_, i) => i * i),
            [n],
          ),
        ),
      /mul reads a constant of float \[\d+\] that depends on the sizes/,
    ],
    [
      'a number of them',
      ({ n }) => mul(input('x', [n]), 1 / n),
      /mul reads a constant of float \[\] that depends on the sizes/,
    ],
    [
      'another graph for other sizes',
      ({ n }) => (n % 4 === 1 ? mul(input('x', [n]), 2) : sum(input('x', [n]))),
      /mul is computed in another way for other sizes/,
    ],
    [
      'a number without a rule',
      ({ n }) => slice(input('x', [n]), { axis: 0, start: 0, end: Math.ceil(n / 2) }),
      /slice has a number that follows no rule that was found/,
    ],
    ['variables made anew', ({ n }) => mul(input('x', [n]), variable('w', [1], Float32Array.of(2))), /w are made anew/],
    ['a size that no input has', ({ n }) => mean(input('x', [2 * n, 4])), /no input has an axis of the size/],
  ])('is refused by name where it has %s', async (_, build, message) => {
    const made = onnxFiles(({ n }: Pick<Sizes, 'n'>) => ({ outputs: { y: build({ n, m: 0 }) } }), {
      executor,
      sizes: { n: 1 },
      name: 'x.onnx',
    });
    await expect(made).rejects.toMatchObject({ code: 'bad-program', message: expect.stringMatching(message) });
  });

  it('needs inputs that there are, and sizes', async () => {
    const build = ({ n }: Sizes) => ({ outputs: { y: mul(input('x', [n]), 2) } });
    const options = { executor, name: 'x.onnx', sizes: { n: 1, m: 1 } };
    await expect(onnxFiles(build, { ...options, inputs: { z: { name: 'z' } } })).rejects.toThrow(
      /the program has no input z; it has x/,
    );
    await expect(onnxFiles(build, { ...options, sizes: { n: -1, m: 1 } })).rejects.toThrow(
      /sizes must be 1 to 4 names/,
    );
    await expect(onnxFiles(build, { ...options, inputs: { x: { name: 'y' } } })).rejects.toThrow(
      /y name both an input and an output/,
    );
  });
});

describe('sizes to trace with', () => {
  it.each([1, 2, 3, 4])('%i: differ one at a time, then all, and are nowhere else', (count) => {
    const [a, b = a] = traceSizes(count, new Set())[0] as readonly number[];
    const taken = new Set([a!, a! + b!, a! * b!, Math.abs(a! - b!), 64, 96, 128]);
    const rows = traceSizes(count, taken);
    expect(rows).toHaveLength(count + 3);
    rows
      .slice(1, count + 1)
      .forEach((row, i) => expect(row.map((size, j) => size === rows[0]![j])).toEqual(row.map((_, j) => i !== j)));
    const used = [...new Set(rows.flat())];
    expect(used).toHaveLength(count + count + 2 * count);
    for (const row of rows)
      for (const a of row)
        for (const b of row)
          for (const n of a === b ? [a] : [a, a + b, a * b, Math.abs(a - b)]) expect(taken).not.toContain(n);
  });
});

describe('an expression of sizes', () => {
  const sizes = traceSizes(3, new Set());
  it.each<[string | number, (b: number, p: number, t: number) => number]>([
    [7, () => 7],
    ['b', (b) => b],
    ['p + t', (_, p, t) => p + t],
    ['2 * p + 3', (_, p) => 2 * p + 3],
    ['b * (4 * p + 4 * t)', (b, p, t) => 4 * b * (p + t)],
    ['6 * b', (b) => 6 * b],
    ['b * t * (p + t + 5)', (b, p, t) => b * t * (p + t + 5)],
  ])('%s is found', (words, f) => {
    const found = fitExpression(
      sizes.map(([b, p, t]) => f(b!, p!, t!)),
      sizes,
    )!;
    expect(inWords(found, ['b', 'p', 't'])).toBe(words);
    for (const [b, p, t] of [
      [1, 0, 1],
      [3, 0, 8],
      [2, 500, 1],
    ] as const)
      expect(valueOf(found, [b, p, t])).toBe(f(b, p, t));
  });

  it.each<[string, (b: number, p: number, t: number) => number]>([
    ['a half', (_, p) => Math.ceil(p / 2)],
    ['a larger one', (_, p, t) => Math.max(p, t)],
    ['a cube', (b) => b ** 3],
  ])('%s is none', (_, f) => {
    const values = sizes.map(([b, p, t]) => f(b!, p!, t!));
    expect(fitExpression(values, sizes)).toBeNull();
  });
});
