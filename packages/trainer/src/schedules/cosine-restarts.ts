import { mustBe } from '@peftjs/tensor';
import { falling, fallingRules, type Schedule, type ScheduleOptions } from '../schedule.ts';

/** Options of `cosineRestarts`. */
export interface CosineRestartsOptions extends ScheduleOptions {
  /** Times that the rate falls; before each but the first it jumps back up. Default 1. */
  readonly cycles?: number;
}

/**
 * A warm-up, then half a cosine down to the floor, several times, each from the highest rate. Hugging Face's `cosine_with_restarts`. Loshchilov & Hutter, 2016.
 * https://arxiv.org/abs/1608.03983. Throws `bad-option`.
 */
export const cosineRestarts = (options: CosineRestartsOptions): Schedule => {
  const { cycles = 1 } = options ?? {};
  const shape = (done: number): number => (done >= 1 ? 0 : (1 + Math.cos(Math.PI * ((cycles * done) % 1))) / 2);
  return falling('cosineRestarts', { ...fallingRules, cycles: mustBe.count }, options, shape);
};
