import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  number,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { matmul, mul } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';

/** Options of `moslora`. */
export interface MosloraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the update. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 16. */
  readonly alpha?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * MoSLoRA: y = Wx + (alpha/r)·B·M·A·dropout(x), LoRA with a mixer M of shape [rank, rank] between A [rank, in] and B [out, rank], so that every column of
 * B is used with every row of A. A and M are from U(−1/√fan_in, 1/√fan_in), B is zero at the start. Merges. Throws as `lora`.
 * Wu, Wang, Zhao & Wong, 2024. https://arxiv.org/abs/2406.11909. The first values are those of the authors' code, https://github.com/wutaiqiang/MoSLoRA.
 */
export const moslora: MethodFactory<MosloraOptions> = defineMethod<MosloraOptions>({
  name: 'moslora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
      dropout: rate('lora_dropout', 0),
      bias: biases('moslora'),
    },
    attach: (model, scope, { target, rank, alpha, dropout }) =>
      eachLinear(model, scope, target, 'moslora', (base, own) => {
        const a = own.param('lora_A', [rank, base.inDim], kaimingUniform);
        const mixer = own.param('lora_AB', [rank, rank], kaimingUniform);
        const b = own.param('lora_B', [base.outDim, rank], zeros);
        const scale = alpha / rank;
        return addDelta(base, {
          apply: (x) => {
            const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
            const mixed = matmul(mul(low, scale), mixer, { transposeB: true });
            return matmul(mixed, b, { transposeB: true });
          },
          dense: () => mul(matmul(b, matmul(mixer, a)), scale),
        });
      }),
  },
  files: { peftType: 'PEFTJS_MOSLORA' },
  card: {
    about: 'low-rank updates with a mixer between the factors',
    paper: {
      authors: 'Wu et al.',
      year: 2024,
      title: 'Mixture-of-Subspaces in Low-Rank Adaptation',
      url: 'https://arxiv.org/abs/2406.11909',
    },
    learningRate: 3e-4,
    narrowRate: 1e-2,
  },
});
