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
