import { defineOp, type Op, type Sample } from '../define-op.ts';
import type { DType } from '../dtype.ts';
import { PeftError } from '../error.ts';
import type { Tensor } from '../graph.ts';
import { halfToNumber, numberToHalf } from '../half.ts';
import { describe } from '../shape.ts';
import { wrap } from './wrap.ts';

const isFloat = (dtype: DType): boolean => dtype === 'f32' || dtype === 'f16';

const truncate = (v: number, low: number, high: number): number =>
  Number.isNaN(v) ? 0 : Math.min(Math.max(Math.trunc(v), low), high);

/** One value under another dtype. */
const convert = (from: DType, to: DType, v: number): number => {
  if (to === 'f16') return halfToNumber(numberToHalf(v));
  if (to === 'f32') return v;
  if (!isFloat(from)) return wrap(to, v);
  return to === 'i32' ? truncate(v, -(2 ** 31), 2 ** 31 - 1) : truncate(v, 0, 2 ** 32 - 1);
};

const sample = (
  from: DType,
  dtype: DType,
  low: number,
  high: number,
  x: readonly number[] = [3, 5],
): Sample<'x', { dtype: DType }> => ({
  shapes: { x },
  attrs: { dtype },
  dtypes: { x: from },
  ranges: { x: [low, high] },
});

/** The record behind `cast`. */
export const castOp: Op<'cast', readonly ['x'], readonly [], { readonly dtype: DType }> = defineOp({
  name: 'cast',
  inputs: ['x'],
  infer: ({ x }, { dtype }) => {
    if (dtype === 'u8')
      throw new PeftError('bad-dtype', `cast: got ${describe(x)} to cast to u8; codes are packed on the host`);
    return { shape: x.shape, dtype };
  },
  // f16 values are f32 inside an expression: loading widens, storing rounds.
  vjp: ({ x, out, dy }) => (isFloat(x.dtype) && isFloat(out.dtype) ? { x: cast(dy, { dtype: x.dtype }) } : {}),
  reference: ({ x }, { x: { dtype: from } }, { dtype }) => x.map((v) => convert(from, dtype, v)),
  flops: () => 0,
  samples: [
    sample('f32', 'i32', -9, 9),
    sample('f32', 'f32', -1, 1),
    sample('f32', 'u32', 0, 9),
    sample('f32', 'f16', -9, 9),
    sample('f16', 'f32', -9, 9),
    sample('i32', 'f32', -9, 9, [3, 257]),
    sample('i32', 'u32', -9, 9, [7]),
    sample('u32', 'f32', 0, 2 ** 24, []),
    sample('u32', 'i32', 0, 9, [0, 3]),
    sample('u8', 'f32', 0, 256, [3, 67]),
    sample('u8', 'i32', 0, 256, [5]),
  ],
});

/**
 * The same values under another dtype. Floats become integers by truncation (beyond the target's range the result is unspecified);
 * i32 and u32 keep their bits; f16 rounds to nearest; u8 can only be cast from. Between floats the gradient is cast back; elsewhere none flows.
 */
export const cast = (x: Tensor, attrs: { readonly dtype: DType }): Tensor =>
  x.dtype === attrs.dtype ? x : castOp(x, attrs);
