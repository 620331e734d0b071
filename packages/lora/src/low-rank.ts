import {
  type BiasChoice,
  biases,
  byPattern,
  type Chosen,
  count,
  familyTarget,
  flag,
  type Init,
  kaimingUniform,
  number,
  type OptionTable,
  patternValue,
  rate,
  type Scope,
  type Target,
  type TokenChoice,
  targets,
  trainableTokens,
  withEmbeddings,
  zeros,
} from '@peftjs/core';
import { matmul, mul, type Tensor, type Variable } from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import type { Delta } from './add-delta.ts';

/** Options of `lora` and `dora`. */
export interface LoraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the update. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 8. */
  readonly alpha?: number;
  /** Probability that an input of the low-rank path is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Scale by alpha / √rank, which keeps large ranks learning (rsLoRA). Kalajdzievski, 2023. https://arxiv.org/abs/2312.03732 */
  readonly rsLora?: boolean;
  /** Other ranks, by a regular expression (Python's) of the path or its end after a dot: `{ 'layers\\.0\\.self_attn\\.q_proj': 16 }`; the first that fits counts. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Other alphas, in the same way. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
  /** Ids of tokens whose rows of the embedding are trained too, or lists of them by the name of the embedding. Default: none. */
  readonly trainableTokens?: TokenChoice;
}

/** How `adapter_config.json` holds them. */
export const loraOptions: OptionTable<LoraOptions> = {
  target: targets('target_modules', familyTarget('lora'), withEmbeddings),
  rank: count('r', 8),
  alpha: number('lora_alpha', 8),
  dropout: rate('lora_dropout', 0),
  rsLora: flag('use_rslora', false),
  rankPattern: byPattern('rank_pattern', count, 'ranks of at least 1', 'rank'),
  alphaPattern: byPattern('alpha_pattern', number, 'finite numbers', 'alpha'),
  bias: biases('lora'),
  trainableTokens,
};

/** ΔW = scale·B·A with its factors. */
export interface LowRank extends Delta {
  /** [rank, in] */
  readonly a: Variable;
  /** [out, rank] */
  readonly b: Variable;
  readonly scale: number;
}

/** Rank and scale of the update of one layer. */
export const rankAndScaleOf = (
  path: Path,
  { rank, alpha, rsLora, rankPattern, alphaPattern }: Chosen<LoraOptions>,
): { readonly rank: number; readonly scale: number } => {
  const r = patternValue(rankPattern, path) ?? rank;
  return { rank: r, scale: (patternValue(alphaPattern, path) ?? alpha) / (rsLora ? Math.sqrt(r) : r) };
};

/** scale·B·A of factors [rank, in] and [out, rank], whose input is dropped with a probability while training. */
export const deltaOf = (own: Scope, a: Tensor, b: Tensor, scale: number, dropout: number): Delta => ({
  apply: (x) => {
    const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
    // Scaled where it is narrowest: neither gradient then needs a pass over all of dy.
    return matmul(mul(low, scale), b, { transposeB: true });
  },
  dense: () => mul(matmul(b, a), scale),
});

/** LoRA's update of one layer, with its parameters. */
export const lowRank = (
  base: Linear,
  own: Scope,
  path: Path,
  options: Chosen<LoraOptions>,
  first: { readonly a: Init; readonly b: Init } = { a: kaimingUniform, b: zeros },
): LowRank => {
  const { dropout } = options;
  const { rank: r, scale } = rankAndScaleOf(path, options);
  const a = own.param('lora_A.weight', [r, base.inDim], first.a);
  const b = own.param('lora_B.weight', [base.outDim, r], first.b);
  return { a, b, scale, ...deltaOf(own, a, b, scale, dropout) };
};
