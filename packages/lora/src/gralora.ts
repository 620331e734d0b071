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
  type Scope,
  type Target,
  targets,
  uniform,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul, PeftError, reshape, type Tensor, transpose } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { fanInFanOut } from './peft-config.ts';

/** Options of `gralora`. */
export interface GraloraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of a row of blocks, a multiple of `blocks`. Default 32. */
  readonly rank?: number;
  /** The update is scaled by alpha / (rank + hybridRank). Default 64. */
  readonly alpha?: number;
  /** Blocks k along each side of W; it divides inputs and outputs. Default 2. */
  readonly blocks?: number;
  /** Rank of an ordinary LoRA beside the blocks. Default 0: none. */
  readonly hybridRank?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** An ordinary LoRA, unscaled. */
const whole = (own: Scope, inDim: number, outDim: number, rank: number) => {
  const a = own.param('gralora_A_general.weight', [rank, inDim], kaimingUniform);
  const b = own.param('gralora_B_general.weight', [outDim, rank], zeros);
  return {
    apply: (x: Tensor): Tensor => matmul(matmul(x, a, { transposeB: true }), b, { transposeB: true }),
    dense: (): Tensor => matmul(b, a),
  };
};

/**
 * GraLoRA: y = Wx + s·ΔW·dropout(x) with ΔW of k × k blocks, each a product of rank r/k of its own: block (i, j) is Bᵢⱼ·Aᵢⱼ, so that an input with large
 * values moves its own column of blocks alone. s = alpha / (rank + hybridRank). A is [k, in/k, rank] from U(−1/√(in/k), 1/√(in/k)), its last axis in k parts by row of blocks; B is
 * [k, rank, out/k], zero at the start, its rank in k parts by column. Nothing of shape [out, in] is formed. Merges. Throws `bad-option`, also when attached to a
 * layer that k does not divide, and then `no-match`.
 * Jung et al., 2025. https://arxiv.org/abs/2505.20355
 */
export const gralora: MethodFactory<GraloraOptions> = defineMethod<GraloraOptions>({
  name: 'gralora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 32),
      alpha: number('alpha', 64),
      blocks: count('gralora_k', 2),
      hybridRank: wholeNumber('hybrid_r', 0),
      dropout: rate('gralora_dropout', 0),
      bias: biases('gralora'),
    },
    check: ({ rank = 32, blocks = 2 }) =>
      rank % blocks === 0 ? null : `rank ${rank} must be a multiple of blocks, ${blocks}`,
    attach: (model, scope, { target, rank, alpha, blocks: k, hybridRank, dropout }) =>
      eachLinear(model, scope, target, 'gralora', (base, own, path) => {
        const { inDim, outDim } = base;
        if (inDim % k !== 0 || outDim % k !== 0)
          throw new PeftError(
            'bad-option',
            `gralora: ${path}: blocks ${k} does not divide ${outDim} × ${inDim}; give a number that does`,
          );
        const [width, height, part] = [inDim / k, outDim / k, rank / k];
        const a = own.param('gralora_A', [k, width, rank], uniform(1 / Math.sqrt(width)));
        const b = own.param('gralora_B', [k, rank, height], zeros);
        const hybrid = hybridRank > 0 ? whole(own, inDim, outDim, hybridRank) : null;
        const scale = alpha / (rank + hybridRank);
        const granular = (x: Tensor): Tensor => {
          const columns = transpose(reshape(x, [-1, k, width]), [1, 0, 2]); // [column, n, in/k]
          const low = reshape(matmul(columns, a), [k, -1, k, part]); // [column, n, row, rank/k]
          const byRow = reshape(transpose(low, [2, 1, 0, 3]), [k, -1, rank]);
          const rows = matmul(mul(byRow, scale), b); // [row, n, out/k]
          return reshape(transpose(rows, [1, 0, 2]), [...x.shape.slice(0, -1), outDim]);
        };
        const delta = (): Tensor => {
          const byBlock = transpose(reshape(a, [k, width, k, part]), [2, 0, 1, 3]); // [row, column, in/k, rank/k]
          const products = matmul(byBlock, reshape(b, [k, k, part, height])); // [row, column, in/k, out/k]
          return reshape(transpose(products, [0, 3, 1, 2]), [outDim, inDim]);
        };
        return addDelta(base, {
          apply: (x) => {
            const kept = own.dropout(x, dropout);
            return hybrid ? add(granular(kept), mul(hybrid.apply(kept), scale)) : granular(kept);
          },
          dense: () => mul(hybrid ? add(delta(), hybrid.dense()) : delta(), scale),
        });
      }),
  },
  files: {
    peftType: 'GRALORA',
    config: (model) => ({ ...fanInFanOut(model), init_weights: true }),
  },
  card: {
    about: 'low-rank updates block by block',
    paper: {
      authors: 'Jung et al.',
      year: 2025,
      title: 'GraLoRA: Granular Low-Rank Adaptation for Parameter-Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2505.20355',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
