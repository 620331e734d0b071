import { checkOptions, mustBe, type Rule, type Rules } from '@peftjs/tensor';

/** A held-out loss, and the steps after which it was measured. */
export interface Measured {
  readonly step: number;
  readonly loss: number;
}

/** Learning rate by step, counted from 0. `heldOut` are the losses measured so far, oldest first; undefined where none are measured. */
export type Schedule = (step: number, heldOut?: readonly Measured[]) => number;

/** A schedule that warms up. */
export interface WarmupOptions {
  /** The highest rate, reached at the end of the warm-up. */
  readonly learningRate: number;
  /** Steps of linear growth, a whole number: step i of them, from 0, has the rate · i / warmup, so the first has 0. Default 0: the first has the highest rate. */
  readonly warmup?: number;
}

/** A schedule that falls until the end of the run. */
export interface ScheduleOptions extends WarmupOptions {
  /** Steps of the whole run. */
  readonly steps: number;
  /** The rate that it falls to, as a share of the highest: that of the step after the last. Default 0. */
  readonly floor?: number;
}

const wholeSteps: Rule = mustBe.such(
  'a whole number of steps (no share: 3 % of 1,000 steps are 30)',
  (v) => Number.isSafeInteger(v) && (v as number) >= 0,
);

/** Rules for a schedule that warms up. */
export const warmupRules: Rules<WarmupOptions> = { learningRate: mustBe.given(mustBe.positive), warmup: wholeSteps };

/** Rules for one that falls. */
export const fallingRules: Rules<ScheduleOptions> = {
  ...warmupRules,
  steps: mustBe.given(mustBe.count),
  floor: mustBe.share,
};

const fits = ({ steps, warmup = 0 }: ScheduleOptions): string[] =>
  warmup > steps ? [`warmup must be at most steps, ${steps}, got ${warmup}`] : [];

/** Linear growth from 0, as Hugging Face's `get_scheduler` counts it, then `after` of the step. */
export const warmed = ({ learningRate, warmup = 0 }: WarmupOptions, after: (step: number) => number): Schedule => {
  return (step) => learningRate * (step < warmup ? step / warmup : after(step));
};

/** A warm-up, then the shape of what is done of the rest, from 0 to 1, brought between 1 and the floor. */
export const falling = <O extends ScheduleOptions>(
  who: string,
  rules: Rules<O>,
  options: O,
  shape: (done: number) => number,
): Schedule => {
  checkOptions(who, rules, options, fits);
  const { steps, warmup = 0, floor = 0 } = options;
  return warmed(options, (step) => {
    const done = step < steps ? (step - warmup) / (steps - warmup) : 1;
    return floor + (1 - floor) * shape(done);
  });
};
