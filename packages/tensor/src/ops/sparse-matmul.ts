import { defineOp, type Op } from '../define-op.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { sampledMatmul } from './sampled-matmul.ts';
import { checkEntries, checkRows, type SparseAttrs, sparseSample } from './sparse-spec.ts';

/** How the matrix is applied. */
export interface SparseMatmulAttrs extends SparseAttrs {
  /** x·S instead of x·Sᵀ. Default false. */
  readonly transpose?: boolean;
}

/**
 * x·Sᵀ for a sparse S [outDim, inDim] with `values` [entries] at the distinct places `index` (i32 [entries], row · inDim + column, in any
 * order): x [rows, inDim] gives [rows, outDim]; with `transpose` x·S, so [rows, outDim] gives [rows, inDim]. An entry outside of S is none.
 * Neither S nor its gradient is ever formed. Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const sparseMatmul: Op<'sparse_matmul', readonly ['x', 'values', 'index'], readonly [], SparseMatmulAttrs> =
  defineOp({
    name: 'sparse_matmul',
    inputs: ['x', 'values', 'index'],
    infer: ({ x, values, index }, attrs) => {
      const { outDim, inDim, transpose = false } = attrs;
      checkEntries('sparseMatmul', index, attrs);
      accepts('sparseMatmul', 'values', values, ['f32']);
      if (values.shape.length !== 1 || values.shape[0] !== index.shape[0])
        throw shapeError('sparseMatmul', [values, index], 'there must be one value for each place');
      checkRows('sparseMatmul', x, transpose ? outDim : inDim);
      return { shape: [x.shape[0]!, transpose ? inDim : outDim], dtype: 'f32' };
    },
    vjp: ({ x, values, index, dy }, { outDim, inDim, transpose = false }) => ({
      x: sparseMatmul(dy, values, index, { outDim, inDim, transpose: !transpose }),
      values: transpose
        ? sampledMatmul(x, dy, index, { outDim, inDim })
        : sampledMatmul(dy, x, index, { outDim, inDim }),
    }),
    reference: ({ x, values, index }, specs, { outDim, inDim, transpose = false }) => {
      const [rows, width] = specs.out.shape as readonly [number, number];
      const depth = transpose ? outDim : inDim;
      const out = new Float64Array(rows * width);
      index.forEach((place, e) => {
        if (place < 0 || place >= outDim * inDim) return;
        const [row, column] = [Math.floor(place / inDim), place % inDim];
        const [to, from] = transpose ? [column, row] : [row, column];
        for (let r = 0; r < rows; r++) out[r * width + to]! += values[e]! * x[r * depth + from]!;
      });
      return out;
    },
    flops: ({ x, index }) => 2 * x.shape[0]! * sizeOf(index.shape),
    samples: [
      sparseSample({ outDim: 9, inDim: 13 }, 30, { x: [7, 13], values: [30] }),
      sparseSample({ outDim: 130, inDim: 70, transpose: true }, 200, { x: [5, 130], values: [200] }),
      sparseSample({ outDim: 3, inDim: 4 }, 6, { x: [2, 4], values: [6] }, (i) => i * 3 - 2),
      sparseSample({ outDim: 3, inDim: 4, transpose: true }, 0, { x: [2, 3], values: [0] }, () => 0),
      sparseSample({ outDim: 3, inDim: 4 }, 2, { x: [0, 4], values: [2] }),
    ],
  });
