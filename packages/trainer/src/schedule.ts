import { checkOptions, mustBe } from '@peftjs/tensor';

/** Learning rate by step, counted from 0. */
export type Schedule = (step: number) => number;

/** How the learning rate moves. */
export interface ScheduleOptions {
  /** The highest rate, reached at the end of the warm-up. */
  readonly learningRate: number;
  /** Steps of the whole run. */
  readonly steps: number;
  /** Steps of linear growth from 0 at the start, a whole number. Default 0. */
  readonly warmup?: number;
  /** Rate at the last step, as a share of the highest. A run of one step takes the highest. Default 0. */
  readonly floor?: number;
}

const decay = (who: string, options: ScheduleOptions, shape: (done: number) => number): Schedule => {
  checkOptions(
    who,
    {
      learningRate: mustBe.given(mustBe.positive),
      steps: mustBe.given(mustBe.count),
      warmup: mustBe.such(
        'a whole number of steps (no share: 3 % of 1,000 steps are 30)',
        (v) => Number.isSafeInteger(v) && (v as number) >= 0,
      ),
      floor: mustBe.share,
    },
    options,
    ({ steps, warmup = 0 }) => (warmup > steps ? [`warmup must be at most steps, ${steps}, got ${warmup}`] : []),
  );
  const { learningRate, steps, warmup = 0, floor = 0 } = options;
  const last = steps - 1;
  return (step) => {
    if (step < warmup) return (learningRate * (step + 1)) / warmup;
    if (last === 0) return learningRate;
    const done = step >= last ? 1 : (step - warmup) / (last - warmup);
    return learningRate * (floor + (1 - floor) * shape(done));
  };
};

/** Linear warm-up, then half a cosine down to the floor. Loshchilov & Hutter, 2016. https://arxiv.org/abs/1608.03983. Throws `bad-option`. */
export const cosine = (options: ScheduleOptions): Schedule =>
  decay('cosine', options, (done) => (1 + Math.cos(Math.PI * done)) / 2);

/** Linear warm-up, then a straight line down to the floor. Throws `bad-option`. */
export const linear = (options: ScheduleOptions): Schedule => decay('linear', options, (done) => 1 - done);
