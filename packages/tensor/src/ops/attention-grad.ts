import { defineOp, type Op } from '../define-op.ts';
import { type Spec, sameShape, shapeError } from '../shape.ts';
import { attentionGradSamples } from './attention-samples.ts';
import {
  type AttentionAttrs,
  attentionSizes,
  cappedScore,
  checkAttention,
  pairsOf,
  visibility,
} from './attention-spec.ts';
import { expectF32 } from './expect.ts';

type Inputs = readonly ['q', 'k', 'v', 'y', 'logSumExp', 'dy'];

/**
 * Gradients of attention: [dq, dk, dv], from its inputs, its outputs `y` and `logSumExp`, and `dy`. The weights are computed again:
 * w = exp(scale·q·kᵀ − logSumExp), dv = wᵀ·dy, ds = w ∘ (dy·vᵀ − Σ(dy ∘ y)), dq = scale·ds·k, dk = scale·dsᵀ·q, summed over heads that share a key head.
 * Under a cap c the capped scores stand in w, and ds is multiplied by 1 − (score / c)².
 */
export const attentionGradOp: Op<
  'attention_grad',
  Inputs,
  readonly ['keyMask', 'offset'],
  AttentionAttrs,
  readonly [Spec, Spec, Spec]
> = defineOp({
  name: 'attention_grad',
  inputs: ['q', 'k', 'v', 'y', 'logSumExp', 'dy'],
  optional: ['keyMask', 'offset'],
  infer: (specs, attrs): readonly [Spec, Spec, Spec] => {
    const { q, k, v, y, logSumExp, dy } = specs;
    const { batch, heads, queries } = checkAttention('attentionGrad', specs, attrs);
    expectF32('attentionGrad', { y, logSumExp, dy });
    if (
      !sameShape(y.shape, q.shape) ||
      !sameShape(dy.shape, q.shape) ||
      !sameShape(logSumExp.shape, [batch, heads, queries])
    )
      throw shapeError(
        'attentionGrad',
        [y, logSumExp, dy],
        `y and dy must be [${q.shape}], logSumExp [${[batch, heads, queries]}]`,
      );
    return [q, k, v];
  },
  vjp: 'none',
  reference: ({ q, k, v, y, logSumExp, dy, keyMask, offset }, specs, attrs) => {
    const sizes = attentionSizes(specs);
    const { heads, groups, queries, keys, headDim } = sizes;
    const { scale, softCap = Number.POSITIVE_INFINITY } = attrs;
    const sees = visibility(sizes, attrs, keyMask, offset);
    const [dq, dk, dv] = [new Float64Array(q.length), new Float64Array(k.length), new Float64Array(v.length)];
    for (let row = 0; row < logSumExp.length; row++) {
      const [t, h, b] = [row % queries, Math.floor(row / queries) % heads, Math.floor(row / queries / heads)];
      const i = row * headDim;
      let pull = 0;
      for (let d = 0; d < headDim; d++) pull += dy[i + d]! * y[i + d]!;
      for (let s = 0; s < keys; s++) {
        if (!sees(b, t, s)) continue;
        const j = ((b * groups + Math.floor((h * groups) / heads)) * keys + s) * headDim;
        let score = 0;
        let dWeight = 0;
        for (let d = 0; d < headDim; d++) {
          score += scale * q[i + d]! * k[j + d]!;
          dWeight += dy[i + d]! * v[j + d]!;
        }
        const capped = cappedScore(score, attrs);
        const weight = Math.exp(capped - logSumExp[row]!);
        const dScore = weight * (dWeight - pull) * (1 - (capped / softCap) ** 2) * scale;
        for (let d = 0; d < headDim; d++) {
          dq[i + d]! += dScore * k[j + d]!;
          dk[j + d]! += dScore * q[i + d]!;
          dv[j + d]! += weight * dy[i + d]!;
        }
      }
    }
    return [dq, dk, dv];
  },
  flops: (specs, attrs) => pairsOf(specs, attrs) * (14 * attentionSizes(specs).headDim + 10),
  samples: attentionGradSamples,
});
