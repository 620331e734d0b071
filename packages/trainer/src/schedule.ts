import { PeftError } from '@peftjs/tensor';

/** Learning rate by step, counted from 0. */
export type Schedule = (step: number) => number;

/** How the learning rate moves. */
export interface ScheduleOptions {
  /** The highest rate, reached at the end of the warm-up. */
  readonly learningRate: number;
  /** Steps of the whole run. */
  readonly steps: number;
  /** Steps of linear growth from 0 at the start. Default 0. */
  readonly warmup?: number;
  /** Rate at the last step, as a share of the highest. Default 0. */
  readonly floor?: number;
}

const decay = (
  { learningRate, steps, warmup = 0, floor = 0 }: ScheduleOptions,
  shape: (done: number) => number,
): Schedule => {
  if (!(learningRate > 0))
    throw new PeftError('bad-option', `schedule: learningRate must be positive, got ${learningRate}`);
  if (!Number.isInteger(steps) || steps < 1)
    throw new PeftError('bad-option', `schedule: steps must be a whole number of at least 1, got ${steps}`);
  if (!(warmup >= 0 && warmup <= steps))
    throw new PeftError('bad-option', `schedule: warmup must be in [0, ${steps}], got ${warmup}`);
  return (step) => {
    if (step < warmup) return (learningRate * (step + 1)) / warmup;
    const done = steps > warmup ? Math.min(1, (step - warmup) / (steps - warmup)) : 0;
    return learningRate * (floor + (1 - floor) * shape(done));
  };
};

/** Linear warm-up, then half a cosine down to the floor. Loshchilov & Hutter, 2016. https://arxiv.org/abs/1608.03983 */
export const cosine = (options: ScheduleOptions): Schedule =>
  decay(options, (done) => (1 + Math.cos(Math.PI * done)) / 2);

/** Linear warm-up, then a straight line down to the floor. */
export const linear = (options: ScheduleOptions): Schedule => decay(options, (done) => 1 - done);
