import {
  type BiasChoice,
  biases,
  byPattern,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  filled,
  kaimingUniform,
  type MethodFactory,
  number,
  patternValue,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { div, matmul, maximum, mul, reshape, sqrt, sum, type Tensor } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';

/** Options of `delora`. */
export interface DeloraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the update. Default 8. */
  readonly rank?: number;
  /** First value of λ, which bounds the update's norm and is trained. Default 15. */
  readonly bound?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Other ranks, by a regular expression of the path or its end after a dot; the first that fits counts. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Other bounds, in the same way. */
  readonly boundPattern?: Readonly<Record<string, number>>;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** Lengths along an axis, at least 1e-4: a column of zeros has a gradient too. */
const lengths = (t: Tensor, axis: number): Tensor => sqrt(maximum(sum(mul(t, t), { axes: [axis] }), 1e-8));

/**
 * DeLoRA: y = Wx + B·diag(λ / (r·‖aᵢ‖·‖bᵢ‖))·A·(w ∘ dropout(x)): directions by A [rank, in] and B [out, rank], the strength by one λ [1], and w [in] the lengths of
 * W's columns, frozen. A is from U(−1/√in, 1/√in), B zero at the start. Nothing of shape [out, in] is formed. Merges. Throws `bad-option`, and when
 * attached `no-match`.
 * Bini, Girrbach & Akata, 2025. https://arxiv.org/abs/2503.18225
 */
export const delora: MethodFactory<DeloraOptions> = defineMethod<DeloraOptions>({
  name: 'delora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      bound: number('delora_lambda', 15),
      dropout: rate('module_dropout', 0),
      rankPattern: byPattern('rank_pattern', count, 'ranks of at least 1', 'rank'),
      boundPattern: byPattern('lambda_pattern', number, 'finite numbers', 'bound'),
      bias: biases('delora'),
    },
    attach: (model, scope, { target, rank, bound, dropout, rankPattern, boundPattern }) =>
      eachLinear(model, scope, target, 'delora', (base, own, path) => {
        const { inDim, outDim } = base;
        const r = patternValue(rankPattern, path) ?? rank;
        const a = own.param('delora_A', [r, inDim], kaimingUniform);
        const b = own.param('delora_B', [outDim, r], zeros);
        const lambda = own.param('delora_lambda', [1], filled(patternValue(boundPattern, path) ?? bound));
        const { weight } = base.dense();
        const columns = own.buffer('delora_w_norm', [inDim], sqrt(sum(mul(weight, weight), { axes: [0] })));
        const strengths = (): Tensor => div(mul(lambda, 1 / r), mul(lengths(a, 1), lengths(b, 0))); // [rank]
        return addDelta(base, {
          apply: (x) => {
            const low = matmul(mul(own.dropout(x, dropout), columns), a, { transposeB: true }); // [..., rank]
            return matmul(mul(low, strengths()), b, { transposeB: true });
          },
          dense: () => mul(matmul(b, mul(a, reshape(strengths(), [r, 1]))), columns),
        });
      }),
  },
  files: { peftType: 'DELORA', config: () => ({ init_weights: true }) },
  card: {
    about: 'a low-rank update whose norm is bounded',
    paper: {
      authors: 'Bini, Girrbach & Akata',
      year: 2025,
      title: 'Decoupling Angles and Strength in Low-rank Adaptation',
      url: 'https://arxiv.org/abs/2503.18225',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-3,
  },
});
