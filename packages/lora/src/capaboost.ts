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
import { cast, matmul, mul, reshape, type Tensor, transpose } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { randomMasks } from './sample-places.ts';

/** Options of `capaboost`. */
export interface CapaboostOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of each product. Default 8. */
  readonly rank?: number;
  /** The sum of the products is scaled by alpha / rank. Default 16. */
  readonly alpha?: number;
  /** Products d that share A and B, each under masks of its own. Default 2. */
  readonly masks?: number;
  /** The share of the entries that a mask keeps. Default 0.5. */
  readonly density?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * CapaBoost of LoRA: y = Wx + (alpha/r)·Σᵢ (B∘Mᵢ)·(A∘Nᵢ)·dropout(x), i = 1…d, so that one A [rank, in] and one B [out, rank] give an update of rank up to
 * d·r. The masks are drawn once, keep a share `density` of the entries, are never trained, and are saved as bytes. A is from U(−1/√in, 1/√in), B zero at the
 * start. All products are one of rank d·r. Merges. Throws as `lora`.
 * Song, Zhao, Majumder & Lin, 2024. https://arxiv.org/abs/2407.01320. As the authors' code has it (`equal_per_layer`), https://github.com/LINs-lab/CapaBoost.
 */
export const capaboost: MethodFactory<CapaboostOptions> = defineMethod<CapaboostOptions>({
  name: 'capaboost',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
      masks: count('num_layer', 2),
      density: rate('density', 0.5),
      dropout: rate('lora_dropout', 0),
      bias: biases('capaboost'),
    },
    check: ({ density = 0.5 }) => (density > 0 ? null : `density ${density} leaves nothing`),
    attach: (model, scope, { target, rank, alpha, masks, density, dropout }) =>
      eachLinear(model, scope, target, 'capaboost', (base, own) => {
        const { inDim, outDim } = base;
        const a = own.param('lora_A', [rank, inDim], kaimingUniform);
        const b = own.param('lora_B', [outDim, rank], zeros);
        const [maskA, maskB] = [
          own.buffer('lora_A_masks', [masks, rank, inDim], randomMasks(density), 'u8'),
          own.buffer('lora_B_masks', [masks, outDim, rank], randomMasks(density), 'u8'),
        ];
        const masked = (t: Tensor, mask: Tensor): Tensor => mul(t, cast(mask, { dtype: 'f32' }));
        /** All products side by side: [masks·rank, in] and [out, masks·rank]. */
        const wide = (): readonly [a: Tensor, b: Tensor] => [
          reshape(masked(a, maskA), [masks * rank, inDim]),
          reshape(transpose(masked(b, maskB), [1, 0, 2]), [outDim, masks * rank]),
        ];
        const scale = alpha / rank;
        return addDelta(base, {
          apply: (x) => {
            const [down, up] = wide();
            const low = matmul(own.dropout(x, dropout), down, { transposeB: true }); // [..., masks·rank]
            return matmul(mul(low, scale), up, { transposeB: true });
          },
          dense: () => {
            const [down, up] = wide();
            return mul(matmul(up, down), scale);
          },
        });
      }),
  },
  files: { peftType: 'PEFTJS_CAPABOOST' },
  card: {
    about: 'low-rank updates used several times, under masks',
    paper: {
      authors: 'Song et al.',
      year: 2024,
      title: 'Increasing Model Capacity for Free: A Simple Strategy for Parameter Efficient Fine-tuning',
      url: 'https://arxiv.org/abs/2407.01320',
    },
    learningRate: 5e-4,
    narrowRate: 1e-2,
  },
});
