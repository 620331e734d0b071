import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  kaimingUniform,
  type MethodFactory,
  number,
  positive,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul, type Tensor, type Variable } from '@peftjs/tensor';
import { compactMasks, learnedMask } from './learned-mask.ts';

/** Options of `proPetlLora`. */
export interface ProPetlLoraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the prototypes. Default 32. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 48. */
  readonly alpha?: number;
  /** The share of a prototype's values that a layer's masks keep, in (0, 1]. Default 0.5. */
  readonly keep?: number;
  /** Multiplies the learning rate of the scores that make the masks. Default 30, as 3e-3 is to 1e-4. */
  readonly maskRate?: number;
  /** Whether masks are bits, and trained no more: what is saved once they were learned. Default false. */
  readonly fixed?: boolean;
  /** Probability that an input of A is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * ProPETL of LoRA: y = Wx + (alpha/r)·(B∘M_B)·(A∘M_A)·dropout(x), with A [rank, in] and B [out, rank] a prototype that all layers of one name and shape share, and binary masks of
 * each layer's own: 1 for the share `keep` of scores with the largest magnitudes, which are trained through a straight-through estimator. A is from U(−1/√in, 1/√in), B zero
 * at the start. Only prototypes and bits of masks are saved. Merges. Throws `bad-option`, and when attached `no-match`.
 * Zeng, Zhang & Lu, 2023. https://arxiv.org/abs/2305.17682. As the authors' code has it, https://github.com/ChaosCodes/ProPETL.
 */
export const proPetlLora: MethodFactory<ProPetlLoraOptions> = defineMethod<ProPetlLoraOptions>({
  name: 'proPetlLora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 32),
      alpha: number('lora_alpha', 48),
      keep: positive('sparsity', 0.5),
      maskRate: positive('mask_rate', 30),
      fixed: flag('fixed_masks', false),
      dropout: rate('lora_dropout', 0),
      bias: biases('lora'),
    },
    check: ({ keep = 0.5 }) => (keep <= 1 ? null : `keep must be a share in (0, 1], got ${keep}`),
    compact: async (_model, options, state) => compactMasks(proPetlLora, options, state),
    attach: (model, scope, { target, rank, alpha, dropout, ...masks }) => {
      const prototypes = new Map<string, readonly [a: Variable, b: Variable]>();
      return eachLinear(model, scope, target, 'proPetlLora', (base, own, path) => {
        const { inDim, outDim } = base;
        const name = `prototype.${path.slice(path.lastIndexOf('.') + 1)}_${outDim}x${inDim}`;
        if (!prototypes.has(name)) {
          const shared = scope.at(name);
          const made = [
            shared.param('lora_A', [rank, inDim], kaimingUniform),
            shared.param('lora_B', [outDim, rank], zeros),
          ];
          prototypes.set(name, made as unknown as readonly [Variable, Variable]);
        }
        const [a, b] = prototypes.get(name)!;
        const masked = (t: Variable, letter: string): Tensor =>
          mul(t, learnedMask(own, `lora_${letter}`, t.shape, masks));
        const [down, up] = [masked(a, 'A'), masked(b, 'B')];
        const scale = alpha / rank;
        return {
          ...base,
          apply: (x, call) => {
            const low = matmul(own.dropout(x, dropout), down, { transposeB: true });
            return add(base.apply(x, call), matmul(mul(low, scale), up, { transposeB: true }));
          },
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight: add(weight, mul(matmul(up, down), scale)), bias };
          },
        };
      });
    },
  },
  files: { peftType: 'PEFTJS_PROPETL_LORA' },
  card: {
    about: 'one low-rank update for all layers, under a mask of each',
    paper: {
      authors: 'Zeng, Zhang & Lu',
      year: 2023,
      title: 'One Network, Many Masks: Towards More Parameter-Efficient Transfer Learning',
      url: 'https://arxiv.org/abs/2305.17682',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
