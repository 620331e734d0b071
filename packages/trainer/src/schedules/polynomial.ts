import { mustBe } from '@peftjs/tensor';
import { falling, fallingRules, type Schedule, type ScheduleOptions } from '../schedule.ts';

/** Options of `polynomial`. */
export interface PolynomialOptions extends ScheduleOptions {
  /** Of what is left of the steps. Default 1: a straight line. */
  readonly power?: number;
}

/** A warm-up, then down to the floor by a power of the share of steps that are left. Hugging Face's `polynomial`. Throws `bad-option`. */
export const polynomial = (options: PolynomialOptions): Schedule => {
  const { power = 1 } = options ?? {};
  return falling('polynomial', { ...fallingRules, power: mustBe.positive }, options, (done) => (1 - done) ** power);
};
