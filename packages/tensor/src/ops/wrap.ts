import type { DType } from '../dtype.ts';

/** The value that 32-bit integer arithmetic leaves of an exact result; other dtypes keep it. */
export const wrap = (dtype: DType, value: number): number =>
  dtype === 'i32' ? value | 0 : dtype === 'u32' ? value >>> 0 : value;
