import { falling, fallingRules, type Schedule, type ScheduleOptions } from '../schedule.ts';

/**
 * A warm-up, then half a cosine down to the floor. Hugging Face's `cosine` and `cosine_with_min_lr`. Loshchilov & Hutter, 2016.
 * https://arxiv.org/abs/1608.03983. Throws `bad-option`.
 */
export const cosine = (options: ScheduleOptions): Schedule =>
  falling('cosine', fallingRules, options, (done) => (1 + Math.cos(Math.PI * done)) / 2);
