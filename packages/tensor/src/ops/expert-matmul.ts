import { defineOp, type Op } from '../define-op.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { cast } from './cast.ts';
import { expertOuter } from './expert-outer.ts';
import { checkExperts, expertProducts, expertSample } from './expert-spec.ts';

/** How the matrices are applied. */
export interface ExpertMatmulAttrs {
  /** xₙ·W instead of xₙ·Wᵀ. Default false. */
  readonly transpose?: boolean;
}

/**
 * Each row times the matrix of its expert: yₙ = xₙ·Wₑᵀ with e = index[n]. x [rows, inDim], weight [experts, outDim, inDim], index i32 [rows] give
 * [rows, outDim]; with `transpose` yₙ = xₙ·Wₑ, so [rows, outDim] gives [rows, inDim]. A row whose expert there is not is zeros. The work is that of
 * one matrix for each row, however many experts there are. The weight may be f16, which is read as it is stored. Throws `bad-shape`, `bad-dtype`.
 */
export const expertMatmul: Op<'expert_matmul', readonly ['x', 'weight', 'index'], readonly [], ExpertMatmulAttrs> =
  defineOp({
    name: 'expert_matmul',
    inputs: ['x', 'weight', 'index'],
    infer: ({ x, weight, index }, { transpose = false }) => {
      accepts('expertMatmul', 'x', x, ['f32']);
      accepts('expertMatmul', 'weight', weight, ['f32', 'f16']);
      checkExperts('expertMatmul', index, x);
      const [, outDim, inDim] = weight.shape as readonly [number, number, number];
      if (weight.shape.length !== 3 || x.shape[1] !== (transpose ? outDim : inDim))
        throw shapeError('expertMatmul', [x, weight], 'the weight must be [experts, outDim, inDim] and fit the rows');
      return { shape: [x.shape[0]!, transpose ? inDim : outDim], dtype: 'f32' };
    },
    vjp: ({ x, weight, index, dy }, { transpose = false }) => {
      const [experts] = weight.shape as readonly [number];
      const gradient = transpose ? expertOuter(x, dy, index, { experts }) : expertOuter(dy, x, index, { experts });
      return {
        x: expertMatmul(dy, weight, index, { transpose: !transpose }),
        weight: cast(gradient, { dtype: weight.dtype }),
      };
    },
    reference: ({ x, weight, index }, specs, { transpose = false }) =>
      expertProducts(x, index, specs.weight.shape as readonly [number, number, number], transpose, (i) => weight[i]!),
    flops: ({ x, out }) => 2 * sizeOf(out.shape) * x.shape[1]!,
    samples: [
      expertSample({ x: [7, 5], weight: [3, 4, 5], index: [7] }, {}),
      expertSample({ x: [7, 4], weight: [3, 4, 5], index: [7] }, { transpose: true }),
      expertSample({ x: [70, 33], weight: [4, 67, 33], index: [70] }, {}),
      expertSample({ x: [70, 67], weight: [4, 67, 33], index: [70] }, { transpose: true }),
      expertSample({ x: [90, 6], weight: [2, 9, 6], index: [90] }, {}, (row) => row % 2),
      expertSample({ x: [9, 6], weight: [6, 10, 6], index: [9] }, {}, () => 2),
      expertSample({ x: [9, 6], weight: [3, 10, 6], index: [9] }, {}, undefined, 'f16'),
      expertSample({ x: [1, 130], weight: [2, 65, 130], index: [1] }, {}, () => 1),
      expertSample({ x: [4, 3], weight: [2, 3, 3], index: [4] }, {}, () => 5),
      expertSample({ x: [0, 3], weight: [2, 4, 3], index: [0] }, {}),
    ],
  });
