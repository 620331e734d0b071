import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  glorotUniform,
  type MethodFactory,
  number,
  type Target,
  targets,
  uniform,
  zeros,
} from '@peftjs/core';
import { matmul, mul, PeftError, reshape, type Tensor, transpose } from '@peftjs/tensor';
import { addDelta } from '../add-delta.ts';

/** Options of `kAdaptation`. */
export interface KAdaptationOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Products n, and the size of their first factors; it divides the inputs and outputs of every layer. Default 32. */
  readonly dimension?: number;
  /** Rank k of the second factors. Default 1. */
  readonly rank?: number;
  /** The update's factor s. Default 160, that of the authors' code. */
  readonly scale?: number;
}

/**
 * KAdaptation: y = Wx + s·Σᵢ (Aᵢ ⊗ BᵢCᵢ)ᵀ·x over n products. The first factors Aᵢ = aᵢ·cᵢ [n, n] are of rank 1 and the same for all layers, a and c from U(−0.01, 0.01); of each layer Bᵢ [in/n, k] is from Glorot's
 * uniform distribution with the gain √2, Cᵢ [k, out/n] zero at the start. Nothing of shape [out, in] is formed in a training step. Merges. Throws `bad-option`, and when attached `no-match`, or `bad-option` where n does not divide sizes.
 * He, Li, Zhang, Yang & Wang, 2022. https://arxiv.org/abs/2203.16329, formula and defaults of https://github.com/eric-ai-lab/PEViT, but for two things there: B and C are both zero, so that neither ever learns, and values take the factors of
 * queries. Its dropout of the update and its bias are left out.
 */
export const kAdaptation: MethodFactory<KAdaptationOptions> = defineMethod<KAdaptationOptions>({
  name: 'kAdaptation',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      dimension: count('phm_dim', 32),
      rank: count('phm_rank', 1),
      scale: number('scale', 160),
    },
    attach: (model, scope, { target, dimension: n, rank: k, scale }) => {
      const a = scope.param('phm_rule_left', [n, n, 1], uniform(0.01));
      const c = scope.param('phm_rule_right', [n, 1, n], uniform(0.01));
      /** The aᵢ and the scaled cᵢ as rows of [n, n]. */
      const lefts = (): Tensor => reshape(a, [n, n]);
      const rights = (): Tensor => mul(reshape(c, [n, n]), scale);
      return eachLinear(model, scope, target, 'kAdaptation', (base, own, path) => {
        const { inDim, outDim } = base;
        if (inDim % n !== 0 || outDim % n !== 0)
          throw new PeftError(
            'bad-option',
            `kAdaptation: dimension ${n} must divide the inputs and outputs of ${path}, ${inDim} and ${outDim}; choose one that does`,
          );
        const [p, q] = [inDim / n, outDim / n];
        const left = own.param('phm_left', [n, p, k], glorotUniform(Math.SQRT2));
        const right = own.param('phm_right', [n, k, q], zeros);
        return addDelta(base, {
          apply: (x) => {
            const rows = x.shape.slice(0, -1).reduce((m, d) => m * d, 1);
            const pieces = reshape(transpose(reshape(x, [rows, n, p]), [1, 0, 2]), [n, rows * p]);
            const sums = reshape(matmul(lefts(), pieces), [n, rows, p]); // of each product, Σⱼ aᵢⱼ·xⱼ
            const low = matmul(sums, left); // [n, rows, k]
            const outputs = reshape(matmul(low, right), [n, rows * q]);
            const mixed = reshape(matmul(rights(), outputs, { transposeA: true }), [n, rows, q]); // pieces of the output
            return reshape(transpose(mixed, [1, 0, 2]), [...x.shape.slice(0, -1), outDim]);
          },
          dense: () => {
            const second = reshape(matmul(left, right), [n, p * q]);
            const rule = matmul(reshape(lefts(), [n, n, 1]), reshape(rights(), [n, 1, n])); // Aᵢ
            const products = matmul(reshape(rule, [n, n * n]), second, { transposeA: true }); // [n·n, p·q]
            const whole = reshape(products, [n, n, p, q]);
            return reshape(transpose(whole, [1, 3, 0, 2]), [outDim, inDim]);
          },
        });
      });
    },
  },
  files: { peftType: 'PEFTJS_KADAPTATION' },
  card: {
    about: 'sums of Kronecker products, the first factors shared',
    paper: {
      authors: 'He et al.',
      year: 2022,
      title: 'Parameter-efficient Model Adaptation for Vision Transformers',
      url: 'https://arxiv.org/abs/2203.16329',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-3,
  },
});
