import { checkOptions } from '@peftjs/tensor';
import { type Schedule, type WarmupOptions, warmed, warmupRules } from '../schedule.ts';

/** A warm-up, then the same rate for ever. Hugging Face's `constant` and `constant_with_warmup`. Throws `bad-option`. */
export const constantRate = (options: WarmupOptions): Schedule => {
  checkOptions('constantRate', warmupRules, options);
  return warmed(options, () => 1);
};
