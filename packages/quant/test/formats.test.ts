import {
  codeAt,
  evaluate,
  nf4Levels,
  normalValues,
  type PackedFormat,
  packedFormats,
  randomSource,
  reference,
} from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { fp4, fp8, hqq, int2, int3, int4, int8, nf2, nf3, nf4, type QuantFormat } from '../src/index.ts';
import { packedLinear } from '../src/packed-linear.ts';

const drawn = (size: number, std = 0.02): Float32Array => normalValues(size, std, randomSource(3, 'weight'));

/** The values that a packed matrix stands for. */
const unpacked = async (format: QuantFormat, values: Float32Array, rows: number): Promise<Float32Array> => {
  const inDim = values.length / rows;
  const { weight } = packedLinear(
    format,
    'weight',
    [rows, inDim],
    null,
    format.pack('weight', values, rows, inDim),
  ).dense();
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

const plain = { blockSize: 16, doubleQuant: false } as const;

test.each([
  ['nf2', nf2(plain)],
  ['nf3', nf3(plain)],
  ['fp4', fp4(plain)],
  ['fp8e4m3', fp8({ blockSize: 16 })],
  ['fp8e5m2', fp8({ type: 'e5m2', blockSize: 16 })],
] as const)('%s takes the nearest level', async (name, format) => {
  const { levels } = packedFormats[name];
  const top = Math.max(...levels);
  for (const [rows, inDim] of sizes) {
    const values = drawn(rows * inDim);
    const most = blockMaxima(values, rows, 16);
    for (const [i, v] of (await unpacked(format, values, rows)).entries()) {
      const errors = levels.map((level) => Math.abs((level / top) * most[i]! - values[i]!));
      expect(Math.abs(v - values[i]!)).toBeLessThanOrEqual(Math.min(...errors) + 1e-6 * most[i]!);
    }
  }
});

test.each([
  ['int2', 3, int2({ blockSize: 16 })],
  ['int3', 7, int3({ blockSize: 16 })],
  ['int4', 15, int4({ blockSize: 16 })],
  ['int8 with zero points', 255, int8({ blockSize: 16, zeroPoints: true })],
] as const)('%s is off by one of %i steps at most, from the least value to the largest', async (_, steps, format) => {
  for (const [rows, inDim] of sizes) {
    // All above 0 in some rows: there 0 is the least.
    const values = drawn(rows * inDim).map((v, i) => (i % 2 === 0 ? v + 0.05 : v));
    const got = await unpacked(format, values, rows);
    for (const [i, v] of got.entries()) {
      const [row, start] = [Math.floor(i / inDim), Math.floor((i % inDim) / 16) * 16];
      const block = values.subarray(row * inDim + start, row * inDim + Math.min(start + 16, inDim));
      const step = (Math.max(0, ...block) - Math.min(0, ...block)) / steps;
      // Half a step by rounding, and half where the zero point is rounded at an end.
      expect(Math.abs(v - values[i]!)).toBeLessThanOrEqual(step * (1 + 1e-5));
    }
  }
});

test.each([
  ['int2', 1, int2({ blockSize: 16, zeroPoints: false })],
  ['int3', 3, int3({ blockSize: 16, zeroPoints: false })],
  ['int4', 7, int4({ blockSize: 16, zeroPoints: false })],
] as const)('%s without zero points is off by half a step of max/%i', async (_, most, format) => {
  for (const [rows, inDim] of sizes) {
    const values = drawn(rows * inDim);
    const maxima = blockMaxima(values, rows, 16);
    for (const [i, v] of (await unpacked(format, values, rows)).entries())
      expect(Math.abs(v - values[i]!)).toBeLessThanOrEqual((maxima[i]! / most / 2) * (1 + 1e-5));
  }
});

test.each([
  ['int2', 3, int2({ blockSize: 16, zeroPoints: 'real' })],
  ['int3', 7, int3({ blockSize: 16, zeroPoints: 'real' })],
  ['int4', 15, int4({ blockSize: 16, zeroPoints: 'real' })],
  ['int8', 255, int8({ blockSize: 16, zeroPoints: 'real' })],
] as const)('%s with real zero points is off by half a step of range/%i', async (_, most, format) => {
  for (const [rows, inDim] of sizes) {
    const values = drawn(rows * inDim).map((v, i) => (i % 2 === 0 ? v + 0.05 : v));
    const got = await unpacked(format, values, rows);
    for (const [i, v] of got.entries()) {
      const [row, start] = [Math.floor(i / inDim), Math.floor((i % inDim) / 16) * 16];
      const block = values.subarray(row * inDim + start, row * inDim + Math.min(start + 16, inDim));
      const step = (Math.max(...block) - Math.min(...block)) / most;
      expect(Math.abs(v - values[i]!)).toBeLessThanOrEqual((step / 2) * (1 + 1e-4) + 1e-8);
    }
  }
});

describe.each([
  ['int4 with real zero points', int4({ zeroPoints: 'real' })],
  ['hqq', hqq()],
  ['hqq at 3 bits', hqq({ bits: 3 })],
  ['int8', int8()],
  ['int8 in blocks', int8({ blockSize: 16 })],
  ['int8 with zero points', int8({ zeroPoints: true })],
  ['int4', int4()],
  ['int3', int3()],
  ['int2 without zero points', int2({ zeroPoints: false })],
  ['nf4', nf4()],
  ['nf4 with plain scales', nf4({ doubleQuant: false })],
  ['nf3', nf3()],
  ['nf2', nf2()],
  ['fp4', fp4()],
  ['fp8', fp8()],
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
      for (const v of got) expect(Math.abs(v)).toBeLessThanOrEqual(1.5 * Math.fround(size));
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
    codeAt(format.name as PackedFormat, format.pack('weight', drawn(2 * 5), 2, 5).codes as Uint8Array, i);
  for (let i = 5; i < 8; i++) expect(at(nf4({ blockSize: 8 }), i)).toBe(nf4Levels.indexOf(0));
  for (let i = 5; i < 8; i++) expect(at(int8({ blockSize: 8 }), i)).toBe(128);
});

test.each([0, -64, 1.5, Number.NaN, 63])('nf4 refuses blocks of %s', (blockSize) => {
  expect(() => nf4({ blockSize })).toThrow(/nf4: blockSize must be a positive multiple of 2/);
});

test.each([0, -1, 1.5])('int8 refuses blocks of %s', (blockSize) => {
  expect(() => int8({ blockSize })).toThrow(/int8: blockSize must be a positive integer/);
});
