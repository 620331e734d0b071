import {
  count,
  covers,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  makeRouters,
  noWeight,
  ones,
  type Router,
  type RouterOptions,
  routerFault,
  routerOptions,
  type Scope,
  type Target,
  targets,
} from '@peftjs/core';
import { matmul, mul, type Tensor } from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';

/** Options of `mov`. */
export interface MovOptions extends RouterOptions {
  /** Default: what Hugging Face PEFT scales by (IA)³ in this architecture (Llama: `k_proj`, `v_proj`, `down_proj`). */
  readonly target?: Target;
  /** Which of them are scaled at their input instead of their output. Default: the layer after the activation (`down_proj`). */
  readonly feedforward?: Target;
  /** Vectors that are mixed. Default 30. */
  readonly experts?: number;
}

/** x ⊙ Σₑ pₑ·lₑ, l [experts, dim] ones at the start. */
const mixed = (own: Scope, dim: number, experts: number, route: Router): ((x: Tensor, call: Call) => Tensor) => {
  const vectors = own.param('mov_scaling', [experts, dim], ones);
  return (x, call) => mul(x, matmul(route(x, call), vectors));
};

/**
 * MoV, a mixture of vectors: (IA)³ with several vectors, mixed for each token by a router: y = z ⊙ Σₑ pₑ·lₑ with z = Wx + b, or y = W(x ⊙ Σₑ pₑ·lₑ) + b where the layer is `feedforward`, p = softmax(R·z) or
 * softmax(R·x). l [experts, dim] is one at the start, R [experts, dim] from N(0, 0.02²); p sums to 1, so that the model begins as it was. With `topK` the other experts' weights are 0, not scaled up, and
 * `balance` is the weight of a penalty on uneven choices. Depends on its input, so it does not merge. Throws `bad-option`, and when attached `no-match`.
 * Zadouri et al., 2023. https://arxiv.org/abs/2309.05444. As the authors' code has it, https://github.com/for-ai/parameter-efficient-moe, where each head of keys and values is routed by itself; here a layer is as a whole.
 */
export const mov: MethodFactory<MovOptions> = defineMethod<MovOptions>({
  name: 'mov',
  formula: {
    merges: false,
    options: {
      target: targets('target_modules', familyTarget('ia3')),
      feedforward: targets('feedforward_modules', familyTarget('ia3Feedforward')),
      experts: count('num_experts', 30),
      ...routerOptions,
    },
    check: ({ experts = 30, ...options }) => routerFault(options, experts),
    attach: (model, scope, { target, feedforward, experts, ...options }) => {
      const routers = makeRouters(experts, options);
      const patch = eachLinear(model, scope, target, 'mov', (base, own, path) => {
        const before = covers(feedforward, path);
        const dim = before ? base.inDim : base.outDim;
        const scaled = mixed(own, dim, experts, routers.router(own, 'mov_router', dim));
        return {
          ...base,
          apply: (x, call) => (before ? base.apply(scaled(x, call), call) : scaled(base.apply(x, call), call)),
          dense: noWeight('mov', path, 'depends on its input'),
        };
      });
      return { ...patch, ...routers.patch };
    },
  },
  files: { peftType: 'PEFTJS_MOV' },
  card: {
    about: 'a mixture of scales of keys, values and the MLP, weighed by token',
    paper: {
      authors: 'Zadouri et al.',
      year: 2023,
      title: 'Pushing Mixture of Experts to the Limit: Extremely Parameter Efficient MoE for Instruction Tuning',
      url: 'https://arxiv.org/abs/2309.05444',
    },
    learningRate: 3e-4,
    narrowRate: 3e-2,
  },
});
