import { isWhole, type TypedArray } from '../dtype.ts';
import { halfToNumber } from '../half.ts';
import type { Spec } from '../shape.ts';
import { mustBeNear } from './near.ts';
import { tolerances } from './tolerances.ts';

/**
 * Throws where two tensors of one dtype and shape differ, as `mustBeNear` says it: whole numbers must be equal, floats near.
 * `tolerance` is that of f32.
 */
export const mustMatch = (
  what: string,
  { dtype, shape }: Spec,
  got: TypedArray,
  wanted: TypedArray,
  tolerance: number = tolerances.op,
): void => {
  const numbers = (data: TypedArray): ArrayLike<number> => (dtype === 'f16' ? Array.from(data, halfToNumber) : data);
  const accepted = isWhole(dtype) ? tolerances.exact : dtype === 'f16' ? tolerances.half : tolerance;
  mustBeNear(what, numbers(got), numbers(wanted), { tolerance: accepted, shape });
};
