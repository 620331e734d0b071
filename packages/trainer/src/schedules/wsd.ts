import { checkOptions, mustBe } from '@peftjs/tensor';
import { fallingRules, type Schedule, type ScheduleOptions } from '../schedule.ts';

const shapes = {
  cosine: (done: number): number => (1 + Math.cos(Math.PI * done)) / 2,
  linear: (done: number): number => 1 - done,
  sqrt: (done: number): number => 1 - Math.sqrt(done),
};

/** Options of `wsd`. */
export interface WsdOptions extends ScheduleOptions {
  /** Steps of the fall, at the end of the run. */
  readonly decay: number;
  /** Its form, of the share d that is done: half a cosine, 1 − d, or 1 − √d. Default `cosine`. */
  readonly shape?: 'cosine' | 'linear' | 'sqrt';
}

/**
 * Warm-up, stable, decay: linear growth from the floor, the highest rate for most of the run, then a short fall to the floor. Hugging Face's
 * `warmup_stable_decay`. Hu et al., 2024. https://arxiv.org/abs/2404.06395. Throws `bad-option`.
 */
export const wsd = (options: WsdOptions): Schedule => {
  checkOptions(
    'wsd',
    { ...fallingRules, decay: mustBe.given(mustBe.whole), shape: mustBe.oneOf(Object.keys(shapes)) },
    options,
    ({ steps, warmup = 0, decay }) =>
      warmup + decay > steps ? [`warmup and decay must be at most steps, ${steps}, got ${warmup} and ${decay}`] : [],
  );
  const { learningRate, steps, warmup = 0, decay, shape = 'cosine', floor = 0 } = options;
  const between = (share: number): number => learningRate * (floor + (1 - floor) * share);
  return (step) => {
    if (step < warmup) return between(step / warmup);
    if (step < steps - decay) return learningRate;
    return step < steps ? between(shapes[shape]((step - steps + decay) / decay)) : between(0);
  };
};
