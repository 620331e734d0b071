import {
  byPattern,
  type Chosen,
  count,
  familyTarget,
  number,
  type OptionTable,
  patternValue,
  rate,
  type Scope,
  type Target,
  targets,
} from '@peftjs/core';
import { constant, mul, type Tensor } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';

/** Options that LoHa and LoKr have in common. */
export interface LycorisOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the factors. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 8. */
  readonly alpha?: number;
  /** Other ranks, by a regular expression of the path or its end after a dot; the first that fits counts. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Other alphas, in the same way. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Probability that a row of ΔW is dropped in a training step. Default 0. */
  readonly rankDropout?: number;
  /** Probability that the whole of ΔW is dropped in a training step. Default 0. */
  readonly moduleDropout?: number;
}

/** How `adapter_config.json` holds them. */
export const lycorisOptions: OptionTable<LycorisOptions> = {
  target: targets('target_modules', familyTarget('lora')),
  rank: count('r', 8),
  alpha: number('alpha', 8),
  rankPattern: byPattern('rank_pattern', count, 'ranks of at least 1', 'rank'),
  alphaPattern: byPattern('alpha_pattern', number, 'finite numbers', 'alpha'),
  rankDropout: rate('rank_dropout', 0),
  moduleDropout: rate('module_dropout', 0),
};

/** Rank and alpha / rank of one layer. */
export const rankAndScale = (
  { rank, alpha, rankPattern, alphaPattern }: Chosen<LycorisOptions>,
  path: Path,
): { readonly rank: number; readonly scale: number } => {
  const r = patternValue(rankPattern, path) ?? rank;
  return { rank: r, scale: (patternValue(alphaPattern, path) ?? alpha) / r };
};

/** The mask of `size` values in this step, ones and zeros; null where nothing is dropped. */
const keptOf = (own: Scope, size: number, dropRate: number): Tensor | null => {
  const all = constant(new Float32Array(size).fill(1), [size]);
  const dropped = own.dropout(all, dropRate);
  return dropped === all ? null : mul(dropped, 1 - dropRate);
};

/** Drops outputs of an update, [..., out], the same of every token, and now and then the whole. `rescale`: rows that stay grow for those that do not. */
export const dropOutputs = (
  own: Scope,
  y: Tensor,
  { rankDropout, moduleDropout }: Chosen<LycorisOptions>,
  rescale: boolean,
): Tensor => {
  const rows = keptOf(own, y.shape.at(-1)!, rankDropout);
  const whole = keptOf(own, 1, moduleDropout);
  const some = rows ? mul(y, rescale ? mul(rows, 1 / (1 - rankDropout)) : rows) : y;
  return whole ? mul(some, whole) : some;
};
