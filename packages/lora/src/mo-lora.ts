import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  type MethodFactory,
  makeRouters,
  normal,
  noWeight,
  number,
  type RouterOptions,
  rate,
  routerFault,
  routerOptions,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul, reshape } from '@peftjs/tensor';

/** Options of `moLora`. */
export interface MoLoraOptions extends RouterOptions {
  /** Default: all linear layers but the output head. */
  readonly target?: Target;
  /** Rank r of each expert. Default 4. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 16. */
  readonly alpha?: number;
  /** Experts, each a LoRA. Default 10. */
  readonly experts?: number;
  /** Probability that an input of the experts is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * MoLoRA, a mixture of LoRAs: y = Wx + (alpha/r)·Σₑ pₑ·Bₑ·Aₑ·dropout(x) with p = softmax(R·x) for each token. A [experts·rank, in] and B [out, experts·rank] hold the experts one after the other: A is from N(0, 0.02²),
 * B zero at the start, R [experts, in] from N(0, 0.02²). With `topK` the other experts' weights are 0, not scaled up, and `balance` is the weight of a penalty on uneven choices. Depends on its input, so it does
 * not merge. Throws as `lora`.
 * Zadouri et al., 2023. https://arxiv.org/abs/2309.05444. As the authors' code has it, https://github.com/for-ai/parameter-efficient-moe
 */
export const moLora: MethodFactory<MoLoraOptions> = defineMethod<MoLoraOptions>({
  name: 'moLora',
  formula: {
    merges: false,
    options: {
      target: targets('target_modules', 'all-linear'),
      rank: count('r', 4),
      alpha: number('lora_alpha', 16),
      experts: count('num_experts', 10),
      ...routerOptions,
      dropout: rate('lora_dropout', 0),
      bias: biases('moLora'),
    },
    check: ({ experts = 10, ...options }) => routerFault(options, experts),
    attach: (model, scope, { target, rank, alpha, experts, dropout, ...options }) => {
      const routers = makeRouters(experts, options);
      const patch = eachLinear(model, scope, target, 'moLora', (base, own, path) => {
        const a = own.param('lora_A', [experts * rank, base.inDim], normal(0.02));
        const b = own.param('lora_B', [base.outDim, experts * rank], zeros);
        const route = routers.router(own, 'lora_router', base.inDim);
        return {
          ...base,
          apply: (x, call) => {
            const around = x.shape.slice(0, -1);
            const weights = mul(reshape(route(x, call), [...around, experts, 1]), alpha / rank);
            const low = matmul(own.dropout(x, dropout), a, { transposeB: true });
            const each = mul(reshape(low, [...around, experts, rank]), weights);
            const delta = matmul(reshape(each, [...around, experts * rank]), b, { transposeB: true });
            return add(base.apply(x, call), delta);
          },
          dense: noWeight('moLora', path, 'depends on its input'),
        };
      });
      return { ...patch, ...routers.patch };
    },
  },
  files: { peftType: 'PEFTJS_MOLORA' },
  card: {
    about: 'a mixture of low-rank updates, weighed by token',
    paper: {
      authors: 'Zadouri et al.',
      year: 2023,
      title: 'Pushing Mixture of Experts to the Limit: Extremely Parameter Efficient MoE for Instruction Tuning',
      url: 'https://arxiv.org/abs/2309.05444',
    },
    learningRate: 3e-4,
    narrowRate: 1e-2,
  },
});
