import { type DType, halfToNumber, type TypedArray } from '@peftjs/tensor';
import { expect } from 'vitest';

/** How far f32 may lie from the definition in double precision, relative to values above 1. */
const tolerance = 1e-4;

const numbers = (dtype: DType, data: TypedArray): number[] =>
  dtype === 'f16' ? Array.from(data, halfToNumber) : Array.from(data);

/** Floats within the tolerance, integers equal; says where the worst one is. */
export const expectClose = (dtype: DType, got: TypedArray, wanted: TypedArray): void => {
  const [a, b] = [numbers(dtype, got), numbers(dtype, wanted)];
  expect(a.length).toBe(b.length);
  if (dtype === 'i32' || dtype === 'u32') {
    expect(a).toEqual(b);
    return;
  }
  const far = a.flatMap((v, i) =>
    Math.abs(v - b[i]!) <= tolerance * Math.max(1, Math.abs(b[i]!)) ? [] : [`[${i}] got ${v}, wanted ${b[i]}`],
  );
  expect(far.slice(0, 5)).toEqual([]);
};
