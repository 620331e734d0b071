import {
  consistency,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  type HostInit,
  kaimingUniform,
  type MethodFactory,
  number,
  rate,
  type Scope,
  type State,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { cast, floor, gather, matmul, mean, minimum, mul, reshape, type Tensor, type Variable } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { lora } from './lora.ts';

/** Options of `adaMix`. */
export interface AdaMixOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of a copy. Default 4. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 32. */
  readonly alpha?: number;
  /** Copies of A and of B. Default 8. */
  readonly experts?: number;
  /** Whether there is one A alone. Default false. */
  readonly shareA?: boolean;
  /** Whether there is one B alone. Default false. */
  readonly shareB?: boolean;
  /** The weight of the penalty on what two passes say otherwise. Default 100, as the authors' code has it. */
  readonly consistency?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
}

/** As many times the same values, those of one copy. */
const copies =
  (init: HostInit): HostInit =>
  (shape, random) => {
    const one = init(shape.slice(1), random);
    const all = new Float32Array(shape[0]! * one.length);
    for (let i = 0; i < shape[0]!; i++) all.set(one, i * one.length);
    return all;
  };

/** The copy of a pass: while training one at random, else the mean of all. */
const copyOf = (all: Variable, own: Scope): Tensor => {
  const [experts, ...shape] = all.shape as readonly [number, ...number[]];
  const uniform = experts > 1 ? own.draw?.([1]) : null;
  if (!uniform) return mean(all, { axes: [0] });
  const which = cast(minimum(floor(mul(uniform, experts)), experts - 1), { dtype: 'i32' });
  return reshape(gather(all, which), shape);
};

/** The mean of the copies, by LoRA's names. */
const averaged = (state: State): State =>
  new Map(
    [...state].map(([name, tensor]) => {
      if (!/\.lora_[AB]$/.test(name)) return [name, tensor];
      const [experts, ...shape] = tensor.shape as readonly [number, ...number[]];
      const size = tensor.data.length / experts;
      const data = Float32Array.from({ length: size }, (_, i) => {
        let sum = 0;
        for (let e = 0; e < experts; e++) sum += tensor.data[e * size + i]!;
        return sum / experts;
      });
      return [`${name}.weight`, { shape, data }];
    }),
  );

/**
 * AdaMix, of LoRA: y = Wx + (alpha/r)·B_j·A_i·dropout(x) with A [experts, rank, in] and B [experts, out, rank] copies of which every training pass draws one of each, i and j, for each layer; in evaluation the means of all
 * copies stand there. Beside the loss of a pass stands `consistency` times the divergence of what a second pass says, with copies of its own. Copies are alike at the start: A from U(−1/√in, 1/√in), B zero. What is
 * saved is the mean, an ordinary LoRA that any loader takes. A step costs two passes. Merges. Throws `bad-option`, and when attached `no-match`.
 * Wang et al., 2022. https://arxiv.org/abs/2205.12410. As the authors' code for GPT-2 has it, https://github.com/microsoft/AdaMix
 */
export const adaMix: MethodFactory<AdaMixOptions> = defineMethod<AdaMixOptions>({
  name: 'adaMix',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 4),
      alpha: number('lora_alpha', 32),
      experts: count('n_experts', 8),
      shareA: flag('share_A', false),
      shareB: flag('share_B', false),
      consistency: number('consistency', 100),
      dropout: rate('lora_dropout', 0),
    },
    check: ({ consistency: weight = 0 }) => (weight >= 0 ? null : `consistency ${weight} must not be below 0`),
    compact: async (model, options, state) => {
      const {
        peft_type: _,
        n_experts: _n,
        share_A: _a,
        share_B: _b,
        consistency: _c,
        ...rest
      } = adaMix(options).config(model);
      return { method: lora.fromConfig({ peft_type: 'LORA', ...rest }), state: averaged(state) };
    },
    attach: (model, scope, { target, rank, alpha, experts, shareA, shareB, consistency: weight, dropout }) => {
      const patch = eachLinear(model, scope, target, 'adaMix', (base, own) => {
        const allA = own.param('lora_A', [shareA ? 1 : experts, rank, base.inDim], copies(kaimingUniform));
        const allB = own.param('lora_B', [shareB ? 1 : experts, base.outDim, rank], zeros);
        const [a, b] = [copyOf(allA, own), copyOf(allB, own)];
        return addDelta(base, {
          apply: (x) => {
            const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
            return matmul(mul(low, alpha / rank), b, { transposeB: true });
          },
          dense: () => mul(matmul(b, a), alpha / rank),
        });
      });
      return { ...patch, ...(weight > 0 && { objective: consistency(weight) }) };
    },
  },
  files: { peftType: 'PEFTJS_ADAMIX' },
  card: {
    about: 'copies of low-rank updates, drawn at random and averaged in the end',
    paper: {
      authors: 'Wang et al.',
      year: 2022,
      title: 'AdaMix: Mixture-of-Adaptations for Parameter-efficient Model Tuning',
      url: 'https://arxiv.org/abs/2205.12410',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
