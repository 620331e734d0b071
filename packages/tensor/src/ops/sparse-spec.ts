import type { Sample } from '../define-op.ts';
import { PeftError } from '../error.ts';
import { type Shape, type Spec, shapeError } from '../shape.ts';
import { accepts } from './accepts.ts';

/** The shape of a matrix of which only some entries are there. */
export interface SparseAttrs {
  readonly outDim: number;
  readonly inDim: number;
}

/** Checks the entries of a sparse matrix: `index` i32 [entries], row · inDim + column each. */
export const checkEntries = (op: string, index: Spec, { outDim, inDim }: SparseAttrs): void => {
  accepts(op, 'index', index, ['i32']);
  if (index.shape.length !== 1) throw shapeError(op, [index], 'the index must have one axis');
  if (![outDim, inDim].every((n) => Number.isSafeInteger(n) && n >= 1) || outDim * inDim > 2 ** 31 - 1)
    throw new PeftError(
      'bad-option',
      `${op}: outDim is ${outDim} and inDim ${inDim}, expected positive integers with a product that i32 holds`,
    );
};

/** Throws unless x has rows of that width. */
export const checkRows = (op: string, x: Spec, width: number): void => {
  accepts(op, 'rows', x, ['f32']);
  if (x.shape.length !== 2 || x.shape[1] !== width)
    throw shapeError(op, [x], `must be rows of ${width}; reshape leading axes to one`);
};

/** Places that lie apart, and come in no order. */
const places =
  ({ outDim, inDim }: SparseAttrs): ((i: number) => number) =>
  (i) =>
    (i * 7919 + 3) % (outDim * inDim);

/** A case: matrix sizes, entries, shapes of the other inputs. */
export const sparseSample = <In extends string, A extends SparseAttrs>(
  attrs: A,
  entries: number,
  shapes: { readonly [K in In]?: Shape },
  index: (i: number) => number = places(attrs),
): Sample<In | 'index', A> =>
  ({
    shapes: { ...shapes, index: [entries] },
    attrs,
    dtypes: { index: 'i32' },
    values: { index },
  }) as unknown as Sample<In | 'index', A>;
