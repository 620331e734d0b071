import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  type MethodFactory,
  normal,
  type Scope,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, matmul, PeftError, relu, reshape, type Tensor, transpose } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';

/** Options of `hiwi`. */
export interface HiwiOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Width r of the adapters. Default 16. */
  readonly rank?: number;
  /** Whether weights are adapted. Default true. */
  readonly weights?: boolean;
  /** Whether biases are, where a layer has one. Default true. */
  readonly biases?: boolean;
}

/** f(v·D)·U of vectors of `dim` values, D from N(0, 1/dim), U zero. */
const bottleneck = (own: Scope, name: string, dim: number, rank: number) => {
  const down = own.param(`${name}_down`, [dim, rank], normal(1 / Math.sqrt(dim)));
  const up = own.param(`${name}_up`, [rank, dim], zeros);
  /** [vectors, dim] -> [vectors, rank] */
  const low = (v: Tensor): Tensor => relu(matmul(v, down));
  return { up, low, whole: (v: Tensor): Tensor => matmul(low(v), up) };
};

/** A layer with its bias adapted. */
const withBias = (base: Linear, own: Scope, rank: number): Linear => {
  const net = bottleneck(own, 'hiwi_bias', base.outDim, rank);
  const change = (bias: Tensor): Tensor => reshape(net.whole(reshape(bias, [1, base.outDim])), [base.outDim]);
  return {
    ...base,
    apply: (x, call) => add(base.apply(x, call), change(base.dense().bias!)),
    dense: () => {
      const { weight, bias } = base.dense();
      return { weight, bias: add(bias!, change(bias!)) };
    },
  };
};

/**
 * HiWi: an adapter on the weights in place of the hidden states, W'ᵀ = Wᵀ + f(Wᵀ·D)·U and b' = b + f(b·D_b)·U_b with f = ReLU, D [out, rank] from N(0, 1/out), U [rank, out] zero at the start. Nothing of the adapter is left
 * once it is merged. f(Wᵀ·D) [in, rank] is formed in each step, but nothing of shape [out, in]. Merges. Throws `bad-option`, and when attached `no-match`.
 * Liao, Meng & Monz, 2023. https://arxiv.org/abs/2305.16742. Read were its abstract and introduction; how D begins is this library's choice.
 */
export const hiwi: MethodFactory<HiwiOptions> = defineMethod<HiwiOptions>({
  name: 'hiwi',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 16),
      weights: flag('weights', true),
      biases: flag('biases', true),
    },
    check: ({ weights = true, biases = true }) =>
      weights || biases ? null : 'weights and biases are both false, so nothing is trained; leave one out',
    attach: (model, scope, { target, rank, weights, biases }) =>
      eachLinear(model, scope, target, 'hiwi', (base, own, path) => {
        const biased = biases && base.dense().bias ? withBias(base, own, rank) : base;
        if (!weights && biased === base)
          throw new PeftError(
            'bad-option',
            `hiwi: ${path} has no bias, and weights is false: nothing is to be trained there; leave it out of the target`,
          );
        if (!weights) return biased;
        const { low, up, whole } = bottleneck(own, 'hiwi', base.outDim, rank);
        const rows = (): Tensor => transpose(base.dense().weight);
        return addDelta(biased, {
          apply: (x) => matmul(matmul(x, low(rows())), up),
          dense: () => transpose(whole(rows())),
        });
      }),
  },
  files: { peftType: 'PEFTJS_HIWI' },
  card: {
    about: 'an adapter on weights and biases',
    paper: {
      authors: 'Liao, Meng & Monz',
      year: 2023,
      title: 'Parameter-Efficient Fine-Tuning without Introducing New Latency',
      url: 'https://arxiv.org/abs/2305.16742',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
