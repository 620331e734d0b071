// src/lora-fa.ts
import {
  add,
  count,
  defineMethod,
  eachLinear,
  kaimingUniform,
  type MethodFactory,
  matmul,
  mul,
  number,
  type Target,
  targets,
  transpose,
  zeros,
} from 'peftjs';

/** Options of `loraFa`. */
export interface LoraFaOptions {
  /** Default: all linear layers but the output head. */
  readonly target?: Target;
  /** r. Default 8. */
  readonly rank?: number;
  /** Default 16. */
  readonly alpha?: number;
}

/**
 * LoRA with a frozen A: W' = W + (alpha/r)·B·A, A [r, in] random, B [out, r] zero at the start and trained alone, so that of the layer's input only
 * A·x is kept for the backward pass. Merges. Zhang et al., 2023. https://arxiv.org/abs/2308.03303
 */
export const loraFa: MethodFactory<LoraFaOptions> = defineMethod<LoraFaOptions>({
  name: 'loraFa',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
    },
    attach: (model, scope, { target, rank, alpha }) =>
      eachLinear(model, scope, target, 'loraFa', (base, own) => {
        const a = own.buffer('lora_A', [rank, base.inDim], kaimingUniform);
        const b = own.param('lora_B', [base.outDim, rank], zeros);
        const scale = alpha / rank;
        return {
          ...base,
          apply: (x, call) => {
            const low = matmul(x, transpose(a, [1, 0]));
            return add(base.apply(x, call), mul(matmul(low, transpose(b, [1, 0])), scale));
          },
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight: add(weight, mul(matmul(b, a), scale)), bias };
          },
        };
      }),
  },
  files: { peftType: 'MYLIB_LORA_FA' },
  card: {
    about: 'B of LoRA, with A as it was drawn',
    paper: {
      authors: 'Zhang et al.',
      year: 2023,
      title: 'LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning',
      url: 'https://arxiv.org/abs/2308.03303',
    },
    learningRate: 1e-3,
  },
});
