import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32 } from '../src/half.ts';
import { sameBytes } from './same-bytes.ts';

const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);

/** The definition of binary16, of IEEE 754. */
const definition = (half: number): number => {
  const sign = half >> 15 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = (half & 1023) / 1024;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15));
};

test('every half becomes the number that IEEE 754 defines', () => {
  const values = halfToFloat32(all);
  expect([...values].findIndex((value, i) => !Object.is(value, definition(i)))).toBe(-1);
});

test('every bfloat16 is the upper half of an f32', () => {
  const bits = new Uint32Array(bfloat16ToFloat32(all).buffer);
  expect(bits.findIndex((value, i) => value !== i * 65_536)).toBe(-1);
});

test('all 65,536 patterns survive the way to f32 and back, NaN payloads included', () => {
  expect(sameBytes(float32ToHalf(halfToFloat32(all)), all)).toBe(true);
  expect(sameBytes(float32ToBfloat16(bfloat16ToFloat32(all)), all)).toBe(true);
});

test('halves convert within one buffer', () => {
  for (const convert of [halfToFloat32, bfloat16ToFloat32]) {
    const shared = new Float32Array(all.length);
    const bits = new Uint16Array(shared.buffer, 2 * all.length);
    bits.set(all);
    convert(bits, shared);
    expect(sameBytes(shared, convert(all))).toBe(true);
  }
});

/** The nearest of the finite patterns by search over all of them, ties to even. */
const nearest = (value: number, decode: (bits: Uint16Array) => Float32Array, largest: number): number => {
  const positive = decode(all.subarray(0, largest + 1));
  const magnitude = Math.abs(value);
  let [low, high] = [0, largest];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (positive[middle]! <= magnitude) low = middle;
    else high = middle - 1;
  }
  const step = positive[largest]! - positive[largest - 1]!;
  const above = low === largest ? positive[largest]! + step : positive[low + 1]!;
  const [down, up] = [magnitude - positive[low]!, above - magnitude];
  const rounded = up < down || (up === down && low % 2 === 1) ? low + 1 : low;
  return rounded | (Object.is(Math.sign(value), -1) || Object.is(value, -0) ? 0x8000 : 0);
};

const float = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.float({ noNaN: true, min: -70_000, max: 70_000 }),
  fc.float({ noNaN: true, min: Math.fround(-1e-4), max: Math.fround(1e-4) }),
);

test('f32 rounds to the nearest half and bfloat16, ties to even', () => {
  fc.assert(
    fc.property(float, (value) => {
      const one = Float32Array.of(value);
      const wantHalf =
        Math.abs(value) >= 65_520 ? (value < 0 ? 0xfc00 : 0x7c00) : nearest(value, halfToFloat32, 0x7bff);
      expect(float32ToHalf(one)[0]).toBe(wantHalf);
      expect(float32ToBfloat16(one)[0]).toBe(nearest(value, bfloat16ToFloat32, 0x7f7f));
    }),
    { numRuns: 2_000 },
  );
});

test('the middle between any two neighbours goes to the even one, a hair beside it to the nearer', () => {
  const halves = halfToFloat32(all.subarray(0, 0x7c00));
  const middles = Float32Array.from({ length: 0x7bff }, (_, i) => (halves[i]! + halves[i + 1]!) / 2);
  const beside = (by: number): Float32Array =>
    new Float32Array(new Uint32Array(middles.buffer).map((bits) => bits + by).buffer);
  const rounded = float32ToHalf(middles);
  const [below, above] = [float32ToHalf(beside(-1)), float32ToHalf(beside(1))];
  for (let i = 0; i < middles.length; i++) {
    if (rounded[i] !== i + (i % 2) || below[i] !== i || above[i] !== i + 1) expect.fail(`wrong beside half ${i}`);
  }
});

test('values beyond the range become infinity, NaN stays NaN', () => {
  expect([...float32ToHalf(Float32Array.of(65_519, 65_520, -1e30, Infinity, -Infinity))]).toEqual([
    0x7bff, 0x7c00, 0xfc00, 0x7c00, 0xfc00,
  ]);
  const quiet = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
  expect([...float32ToHalf(quiet)]).toEqual([0x7e00, 0xfe00]);
  expect([...float32ToBfloat16(quiet)]).toEqual([0x7fc0, 0xffc0]);
  expect([...float32ToBfloat16(Float32Array.of(3.4028234e38, Infinity))]).toEqual([0x7f80, 0x7f80]);
});
