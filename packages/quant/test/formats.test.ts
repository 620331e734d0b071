import {
  codeAt,
  dequantize,
  evaluate,
  nf4Levels,
  normalValues,
  type PackedFormat,
  randomSource,
  reference,
  variable,
} from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { int8, nf4, type QuantFormat } from '../src/index.ts';

const drawn = (size: number, std = 0.02): Float32Array => normalValues(size, std, randomSource(3, 'weight'));

/** The values that a packed matrix stands for. */
const unpacked = async (format: QuantFormat, values: Float32Array, rows: number): Promise<Float32Array> => {
  const inDim = values.length / rows;
  const { codes, scale, scaleCodes, scaleOffset } = format.pack('weight', values, rows, inDim);
  const weight = dequantize(
    variable('codes', [rows, codes.length / rows], codes, 'u8'),
    variable('scale', scaleCodes ? [scale.length] : [rows, scale.length / rows], scale),
    scaleCodes ? variable('scaleCodes', [rows, scaleCodes.length / rows], scaleCodes, 'u8') : null,
    scaleOffset ? variable('scaleOffset', [], scaleOffset) : null,
    format.layout(inDim),
  );
  return (await evaluate({ weight }, { executor: reference() }))['weight'] as Float32Array;
};

/** The largest magnitude of the block that each value is in. */
const blockMaxima = (values: Float32Array, rows: number, block: number): Float32Array => {
  const inDim = values.length / rows;
  return values.map((_, i) => {
    const [row, start] = [Math.floor(i / inDim), Math.floor((i % inDim) / block) * block];
    const end = Math.min(start + block, inDim);
    return Math.max(...values.subarray(row * inDim + start, row * inDim + end).map(Math.abs));
  });
};

const sizes = [
  [5, 64],
  [7, 33],
  [3, 130],
  [9, 1],
] as const;

describe.each(sizes)('a matrix of %i rows of %i', (rows, inDim) => {
  const values = drawn(rows * inDim);

  test.each([undefined, 16, 50])('int8 in blocks of %s is off by half a step at most', async (blockSize) => {
    const got = await unpacked(int8(blockSize === undefined ? {} : { blockSize }), values, rows);
    const most = blockMaxima(values, rows, blockSize ?? inDim);
    for (const [i, v] of got.entries())
      expect(Math.abs(v - values[i]!)).toBeLessThanOrEqual((most[i]! / 127 / 2) * (1 + 1e-5));
  });

  test.each([64, 16, 6])('nf4 in blocks of %i takes the nearest level', async (blockSize) => {
    const got = await unpacked(nf4({ blockSize, doubleQuant: false }), values, rows);
    const most = blockMaxima(values, rows, blockSize);
    for (const [i, v] of got.entries()) {
      const errors = nf4Levels.map((level) => Math.abs(level * most[i]! - values[i]!));
      expect(Math.abs(v - values[i]!)).toBeLessThanOrEqual(Math.min(...errors) + 1e-6 * most[i]!);
    }
  });

  test('packed scales move nf4 little', async () => {
    const [plain, packed] = [
      await unpacked(nf4({ doubleQuant: false }), values, rows),
      await unpacked(nf4(), values, rows),
    ];
    const norm = Math.hypot(...plain);
    expect(Math.hypot(...plain.map((v, i) => v - packed[i]!)) / norm).toBeLessThan(0.02);
  });
});

test('normal weights lose as much as the papers say: about 9 % in nf4, 1 % in int8', async () => {
  const values = drawn(64 * 1024);
  const errorOf = async (format: QuantFormat): Promise<number> => {
    const got = await unpacked(format, values, 64);
    return Math.hypot(...got.map((v, i) => v - values[i]!)) / Math.hypot(...values);
  };
  expect(await errorOf(nf4())).toBeGreaterThan(0.08);
  expect(await errorOf(nf4())).toBeLessThan(0.1);
  expect(await errorOf(int8({ blockSize: 64 }))).toBeLessThan(0.008);
  expect(await errorOf(int8())).toBeLessThan(0.012);
});

describe.each([
  ['int8', int8()],
  ['int8 in blocks', int8({ blockSize: 16 })],
  ['nf4', nf4()],
  ['nf4 with plain scales', nf4({ doubleQuant: false })],
] as const)('%s', (_, format) => {
  test('zeros stay zeros, and say nothing of their neighbours', async () => {
    const values = drawn(4 * 64).fill(0, 64, 128);
    const got = await unpacked(format, values, 4);
    for (let i = 64; i < 128; i++) expect(Math.abs(got[i]!)).toBe(0);
    expect((await unpacked(format, new Float32Array(128), 2)).every((v) => v === 0)).toBe(true);
  });

  test('values at the ends of what f32 holds stay finite', async () => {
    for (const size of [1e-45, 1e-39, 1e38]) {
      const values = Float32Array.from({ length: 128 }, (__, i) => (i % 3 === 0 ? size : -size / 2));
      const got = await unpacked(format, values, 2);
      for (const v of got) expect(Math.abs(v)).toBeLessThanOrEqual(1.01 * Math.fround(size));
    }
  });

  test('values that are not finite are named', () => {
    const values = drawn(4 * 64);
    values[70] = Number.NaN;
    values[200] = Number.POSITIVE_INFINITY;
    expect(() => format.pack('layers.3.q_proj.weight', values, 4, 64)).toThrow(
      /layers\.3\.q_proj\.weight holds 2 values that are not finite, the first is NaN at \[1, 6\]/,
    );
  });
});

test('codes past the end of a row stand for zero', () => {
  const at = (format: QuantFormat, i: number): number =>
    codeAt(format.name as PackedFormat, format.pack('weight', drawn(2 * 5), 2, 5).codes, i);
  for (let i = 5; i < 8; i++) expect(at(nf4({ blockSize: 8 }), i)).toBe(nf4Levels.indexOf(0));
  for (let i = 5; i < 8; i++) expect(at(int8({ blockSize: 8 }), i)).toBe(128);
});

test.each([0, -64, 1.5, Number.NaN, 63])('nf4 refuses blocks of %s', (blockSize) => {
  expect(() => nf4({ blockSize })).toThrow(/nf4: blockSize must be a positive multiple of 2/);
});

test.each([0, -1, 1.5])('int8 refuses blocks of %s', (blockSize) => {
  expect(() => int8({ blockSize })).toThrow(/int8: blockSize must be a positive integer/);
});
