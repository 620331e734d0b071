import {
  type BiasChoice,
  biases,
  count,
  familyTarget,
  number,
  type Option,
  type OptionTable,
  rate,
  type Target,
  type TokenChoice,
  targets,
  trainableTokens,
  wholeNumber,
} from '@peftjs/core';

/** Which triplets of a layer were kept, by the full name of its `lora_E`. */
export type KeptTriplets = Readonly<Record<string, readonly boolean[]>>;

/** Options of `adalora`. */
export interface AdaloraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank of every layer at the start. Default 12. */
  readonly rank?: number;
  /** Average rank at the end. Default 8. */
  readonly targetRank?: number;
  /** The update is scaled by alpha / rank; not above 0 means the rank, as in Hugging Face PEFT. Default 8. */
  readonly alpha?: number;
  /** Probability that an input of the low-rank path is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Steps of the training that the budget is spread over: as many as it has. Default 1000. */
  readonly steps?: number;
  /** Steps before ranks fall. Default 0. */
  readonly warmup?: number;
  /** Steps after ranks have fallen. Default 0. */
  readonly final?: number;
  /** Steps from one allocation of ranks to the next. Default 1. */
  readonly interval?: number;
  /** Decay of the average of importance, and of its uncertainty. Default 0.85 each. */
  readonly beta1?: number;
  readonly beta2?: number;
  /** Weight of ‖AAᵀ − I‖ and ‖BᵀB − I‖ in the loss. Default 0.5. */
  readonly orthogonality?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
  /** Ids of tokens whose rows of the embedding are trained too, or lists of them by the name of the embedding. Default: none. */
  readonly trainableTokens?: TokenChoice;
  /** The triplets that an earlier training kept: the ranks are final then. */
  readonly kept?: KeptTriplets;
}

const keptOption: Option<KeptTriplets> = {
  key: 'rank_pattern',
  fallback: () => ({}),
  expected: 'lists of true and false by names of lora_E',
  accepts: (v) =>
    typeof v === 'object' &&
    v !== null &&
    Object.values(v).every((kept) => Array.isArray(kept) && kept.every((one) => typeof one === 'boolean')),
  toJson: (kept) =>
    Object.keys(kept).length > 0 ? Object.fromEntries(Object.entries(kept).map(([n, k]) => [n, [...k]])) : null,
};

/** How `adapter_config.json` holds them. */
export const adaloraOptions: OptionTable<AdaloraOptions> = {
  target: targets('target_modules', familyTarget('lora')),
  rank: count('init_r', 12),
  targetRank: count('target_r', 8),
  alpha: number('lora_alpha', 8),
  dropout: rate('lora_dropout', 0),
  steps: count('total_step', 1000),
  warmup: wholeNumber('tinit', 0),
  final: wholeNumber('tfinal', 0),
  interval: count('deltaT', 1),
  beta1: rate('beta1', 0.85),
  beta2: rate('beta2', 0.85),
  orthogonality: number('orth_reg_weight', 0.5),
  bias: biases('lora'),
  trainableTokens,
  kept: keptOption,
};
