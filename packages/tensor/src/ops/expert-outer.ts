import { defineOp, type Op } from '../define-op.ts';
import { PeftError } from '../error.ts';
import { sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { expertMatmul } from './expert-matmul.ts';
import { checkExperts, expertSample } from './expert-spec.ts';

/** How many experts there are. */
export interface ExpertOuterAttrs {
  readonly experts: number;
}

/**
 * The products aᵀ·b of the rows of each expert: outₑ = Σ aₙᵀ·bₙ over all n with index[n] = e. a [rows, m], b [rows, n] and index i32 [rows] give
 * [experts, m, n]; zeros for an expert without rows. The gradient of the weights of `expertMatmul`. Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const expertOuter: Op<'expert_outer', readonly ['a', 'b', 'index'], readonly [], ExpertOuterAttrs> = defineOp({
  name: 'expert_outer',
  inputs: ['a', 'b', 'index'],
  infer: ({ a, b, index }, { experts }) => {
    accepts('expertOuter', 'a', a, ['f32']);
    accepts('expertOuter', 'b', b, ['f32']);
    checkExperts('expertOuter', index, a);
    checkExperts('expertOuter', index, b);
    if (!Number.isSafeInteger(experts) || experts < 1)
      throw new PeftError('bad-option', `expertOuter: experts is ${experts}, expected a positive integer`);
    return { shape: [experts, a.shape[1]!, b.shape[1]!], dtype: 'f32' };
  },
  vjp: ({ a, b, index, dy }) => ({
    a: expertMatmul(b, dy, index),
    b: expertMatmul(a, dy, index, { transpose: true }),
  }),
  reference: ({ a, b, index }, specs, { experts }) => {
    const [rows, m] = specs.a.shape as readonly [number, number];
    const n = specs.b.shape[1]!;
    const out = new Float64Array(experts * m * n);
    for (let row = 0; row < rows; row++) {
      const e = index[row]!;
      if (e < 0 || e >= experts) continue;
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) out[(e * m + i) * n + j]! += a[row * m + i]! * b[row * n + j]!;
    }
    return out;
  },
  flops: ({ a, b }) => 2 * sizeOf(a.shape) * b.shape[1]!,
  samples: [
    expertSample({ a: [7, 4], b: [7, 5], index: [7] }, { experts: 3 }),
    expertSample({ a: [70, 37], b: [70, 41], index: [70] }, { experts: 4 }),
    expertSample({ a: [90, 18], b: [90, 9], index: [90] }, { experts: 2 }, (row) => row % 2),
    expertSample({ a: [9, 6], b: [9, 10], index: [9] }, { experts: 6 }, () => 2),
    expertSample({ a: [4, 3], b: [4, 3], index: [4] }, { experts: 2 }, () => 5),
    expertSample({ a: [0, 3], b: [0, 4], index: [0] }, { experts: 2 }),
  ],
});
