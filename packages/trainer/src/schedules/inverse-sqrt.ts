import { checkOptions, mustBe } from '@peftjs/tensor';
import { type Schedule, type WarmupOptions, warmed, warmupRules } from '../schedule.ts';

/** Options of `inverseSqrt`. */
export interface InverseSqrtOptions extends WarmupOptions {
  /** Steps t after which the rate has fallen by √2. Default: the warm-up's, or 10,000 without one. */
  readonly timescale?: number;
}

/**
 * A warm-up over w steps, then the rate · √(t / (step + t − w)), which needs no end. Hugging Face's `inverse_sqrt`; Vaswani et al., 2017.
 * https://arxiv.org/abs/1706.03762. Throws `bad-option`.
 */
export const inverseSqrt = (options: InverseSqrtOptions): Schedule => {
  checkOptions('inverseSqrt', { ...warmupRules, timescale: mustBe.positive }, options);
  const { warmup = 0, timescale = warmup || 10_000 } = options;
  return warmed(options, (step) => 1 / Math.sqrt((step + timescale - warmup) / timescale));
};
