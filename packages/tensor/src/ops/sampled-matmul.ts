import { defineOp, type Op } from '../define-op.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { sparseMatmul } from './sparse-matmul.ts';
import { checkEntries, checkRows, type SparseAttrs, sparseSample } from './sparse-spec.ts';

/**
 * Single entries of aᵀ·b: for a [rows, outDim], b [rows, inDim] and places `index` (i32 [entries], row · inDim + column) the values
 * Σᵣ a[r, row]·b[r, column], [entries]; 0 for a place outside. The product itself is never formed. The gradient of a sparse matrix's
 * values. Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const sampledMatmul: Op<'sampled_matmul', readonly ['a', 'b', 'index'], readonly [], SparseAttrs> = defineOp({
  name: 'sampled_matmul',
  inputs: ['a', 'b', 'index'],
  infer: ({ a, b, index }, attrs) => {
    checkEntries('sampledMatmul', index, attrs);
    checkRows('sampledMatmul', a, attrs.outDim);
    checkRows('sampledMatmul', b, attrs.inDim);
    if (a.shape[0] !== b.shape[0]) throw shapeError('sampledMatmul', [a, b], 'both must have as many rows');
    return { shape: index.shape, dtype: 'f32' };
  },
  vjp: ({ a, b, index, dy }, attrs) => ({
    a: sparseMatmul(b, dy, index, attrs),
    b: sparseMatmul(a, dy, index, { ...attrs, transpose: true }),
  }),
  reference: ({ a, b, index }, specs, { outDim, inDim }) =>
    Float64Array.from(index, (place) => {
      if (place < 0 || place >= outDim * inDim) return 0;
      let sum = 0;
      for (let r = 0; r < specs.a.shape[0]!; r++)
        sum += a[r * outDim + Math.floor(place / inDim)]! * b[r * inDim + (place % inDim)]!;
      return sum;
    }),
  flops: ({ a, index }) => 2 * a.shape[0]! * sizeOf(index.shape),
  samples: [
    sparseSample({ outDim: 9, inDim: 13 }, 30, { a: [7, 9], b: [7, 13] }),
    sparseSample({ outDim: 130, inDim: 70 }, 200, { a: [5, 130], b: [5, 70] }),
    sparseSample({ outDim: 3, inDim: 4 }, 6, { a: [2, 3], b: [2, 4] }, (i) => i * 3 - 2),
    sparseSample({ outDim: 3, inDim: 4 }, 0, { a: [2, 3], b: [2, 4] }, () => 0),
    sparseSample({ outDim: 3, inDim: 4 }, 2, { a: [0, 3], b: [0, 4] }),
  ],
});
