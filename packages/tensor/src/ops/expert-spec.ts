import type { Sample } from '../define-op.ts';
import type { DType } from '../dtype.ts';
import { type Shape, type Spec, shapeError } from '../shape.ts';
import { accepts } from './accepts.ts';

/** Checks the expert of each row: `index` i32 [rows]. */
export const checkExperts = (op: string, index: Spec, rows: Spec): void => {
  accepts(op, 'index', index, ['i32']);
  if (rows.shape.length !== 2) throw shapeError(op, [rows], 'must be rows; reshape leading axes to one');
  if (index.shape.length !== 1 || index.shape[0] !== rows.shape[0])
    throw shapeError(op, [index, rows], 'there must be one expert for each row');
};

/** A case: shapes of the inputs; the experts of the rows, in no order, one of them outside. */
export const expertSample = <In extends string, A>(
  shapes: { readonly [K in In]?: Shape },
  attrs: A,
  experts: (row: number) => number = (row) => ((row * 7 + 3) % 5) - 1,
  weight: DType = 'f32',
): Sample<In | 'index', A> =>
  ({
    shapes,
    attrs,
    dtypes: { index: 'i32', ...('weight' in shapes && { weight }) },
    values: { index: experts },
  }) as unknown as Sample<In | 'index', A>;

/** The reference of each row of x times the matrix of its expert: matrices [experts, outDim, inDim] whose values `valueAt` tells by their number; zeros where there is no such expert. */
export const expertProducts = (
  x: ArrayLike<number>,
  index: ArrayLike<number>,
  [experts, outDim, inDim]: readonly [number, number, number],
  transpose: boolean,
  valueAt: (i: number) => number,
): Float64Array => {
  const rows = index.length;
  const [depth, width] = transpose ? [outDim, inDim] : [inDim, outDim];
  const [stepOut, stepIn] = transpose ? [1, inDim] : [inDim, 1];
  const out = new Float64Array(rows * width);
  for (let n = 0; n < rows; n++) {
    const e = index[n]!;
    if (e < 0 || e >= experts) continue;
    for (let j = 0; j < width; j++) {
      let sum = 0;
      for (let d = 0; d < depth; d++) sum += x[n * depth + d]! * valueAt(e * outDim * inDim + j * stepOut + d * stepIn);
      out[n * width + j] = sum;
    }
  }
  return out;
};
