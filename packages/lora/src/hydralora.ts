import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  noWeight,
  number,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul, reshape, softmax } from '@peftjs/tensor';

/** Options of `hydralora`. */
export interface HydraloraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of A and of each head. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 16. */
  readonly alpha?: number;
  /** Heads n: matrices B that share A. Default 3. */
  readonly heads?: number;
  /** Probability that an input of A is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * HydraLoRA: y = Wx + (alpha/r)·Σᵢ pᵢ·Bᵢ·A·dropout(x) with p = softmax(R·x) for each token, so that one A serves several B's, and a router R of shape [heads,
 * in] weighs them. A is [rank, in]; B is [out, heads·rank], the heads side by side, zero at the start; A and R are from U(−1/√in, 1/√in). All heads are one
 * product. Does not merge, as it depends on its input. Throws as `lora`.
 * Tian, Shi, Guo, Li & Xu, 2024. https://arxiv.org/abs/2404.19245. As the authors' code has it, https://github.com/Clin0212/HydraLoRA.
 */
export const hydralora: MethodFactory<HydraloraOptions> = defineMethod<HydraloraOptions>({
  name: 'hydralora',
  formula: {
    merges: false,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
      heads: count('lora_nums', 3),
      dropout: rate('lora_dropout', 0),
      bias: biases('hydralora'),
    },
    attach: (model, scope, { target, rank, alpha, heads, dropout }) =>
      eachLinear(model, scope, target, 'hydralora', (base, own, path) => {
        const router = own.param('lora_route', [heads, base.inDim], kaimingUniform);
        const a = own.param('lora_A', [rank, base.inDim], kaimingUniform);
        const b = own.param('lora_B', [base.outDim, heads * rank], zeros);
        return {
          ...base,
          apply: (x, call) => {
            const around = x.shape.slice(0, -1);
            const weights = softmax(matmul(x, router, { transposeB: true })); // [..., heads]
            const low = mul(matmul(own.dropout(x, dropout), a, { transposeB: true }), alpha / rank); // [..., rank]
            const each = mul(reshape(weights, [...around, heads, 1]), reshape(low, [...around, 1, rank]));
            const delta = matmul(reshape(each, [...around, heads * rank]), b, { transposeB: true });
            return add(base.apply(x, call), delta);
          },
          dense: noWeight('hydralora', path, 'depends on its input'),
        };
      }),
  },
  files: { peftType: 'PEFTJS_HYDRALORA' },
  card: {
    about: 'several up-projections of one down-projection, weighed by token',
    paper: {
      authors: 'Tian et al.',
      year: 2024,
      title: 'HydraLoRA: An Asymmetric LoRA Architecture for Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2404.19245',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
