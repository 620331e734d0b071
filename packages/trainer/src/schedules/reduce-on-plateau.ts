import { checkOptions, mustBe, PeftError } from '@peftjs/tensor';
import type { Schedule } from '../schedule.ts';

/** Options of `reduceOnPlateau`. */
export interface ReduceOnPlateauOptions {
  /** The rate to begin with. */
  readonly learningRate: number;
  /** The part of the rate that is left. Default 0.1. */
  readonly factor?: number;
  /** Measurements in a row without a new best one that are borne; one more lowers the rate. Default 10. */
  readonly patience?: number;
  /** Share of the best loss by which another must be lower to be a new best. Default 1e-4. */
  readonly threshold?: number;
  /** Measurements after a reduction that count for nothing. Default 0. */
  readonly cooldown?: number;
  /** The lowest rate, as a share of the first. Default 0. */
  readonly floor?: number;
}

/** Differences of rates that are none. */
const least = 1e-8;

/**
 * The same rate until the held-out loss has stopped to fall, then a part of it, and so on. `train` needs `heldOut` for it; the loss before the first
 * step is its first measurement. As torch's `ReduceLROnPlateau`, which Hugging Face's `reduce_lr_on_plateau` is. Throws `bad-option`.
 */
export const reduceOnPlateau = (options: ReduceOnPlateauOptions): Schedule => {
  checkOptions(
    'reduceOnPlateau',
    {
      learningRate: mustBe.given(mustBe.positive),
      factor: mustBe.rate,
      patience: mustBe.whole,
      threshold: mustBe.rate,
      cooldown: mustBe.whole,
      floor: mustBe.share,
    },
    options,
  );
  const { learningRate, factor = 0.1, patience = 10, threshold = 1e-4, cooldown = 0, floor = 0 } = options;
  // From the front at every call: the rate then depends on the losses alone, and a run that is resumed goes on as it was.
  return (step, heldOut) => {
    if (!heldOut)
      throw new PeftError('bad-option', 'reduceOnPlateau: there are no held-out losses to go by; give `train` heldOut');
    let [rate, best, bad, cooling] = [learningRate, Number.POSITIVE_INFINITY, 0, 0];
    for (const { step: after, loss } of heldOut) {
      if (after > step) break;
      const isBest = loss < best * (1 - threshold);
      best = isBest ? loss : best;
      bad = isBest ? 0 : bad + 1;
      if (cooling > 0) [cooling, bad] = [cooling - 1, 0];
      if (bad <= patience) continue;
      const next = Math.max(rate * factor, floor * learningRate);
      rate = rate - next > least ? next : rate;
      [cooling, bad] = [cooldown, 0];
    }
    return rate;
  };
};
