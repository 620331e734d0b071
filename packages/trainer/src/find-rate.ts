import { requireAdapted } from '@peftjs/core';
import {
  checkOptions,
  isPeftError,
  mustBe,
  onExecutor,
  PeftError,
  type TypedArray,
  type Variable,
} from '@peftjs/tensor';
import { train } from './train.ts';
import type { TrainOptions } from './train-options.ts';
import type { Trainable } from './trainable.ts';

/** A trial run whose rate grows. */
export interface FindRateOptions
  extends Pick<
    TrainOptions,
    'executor' | 'data' | 'batchSize' | 'optimizer' | 'objective' | 'recompute' | 'accumulate' | 'seed' | 'signal'
  > {
  /** The first rate. Default 1e-7. */
  readonly from?: number;
  /** The last rate. Default 10. */
  readonly to?: number;
  /** Steps between them. Default 100. */
  readonly steps?: number;
}

/** A rate, and the smoothed loss of the step that was taken by it. */
export interface TriedRate {
  readonly learningRate: number;
  readonly loss: number;
}

/** A rate to begin with, and the curve that it was read from. */
export interface FoundRate {
  readonly learningRate: number;
  readonly curve: readonly TriedRate[];
}

/** Decay of the smoothed loss, the factor over the best that ends the trial, and the steps that are left out at its end. */
const [beta, worst, tail] = [0.98, 4, 5];

/** The first and the last place of the longest series of ever lower losses; others may lie between its members. */
const longestFall = (losses: readonly number[]): readonly [number, number] => {
  const lengths: number[] = [];
  for (const [i, loss] of losses.entries())
    lengths.push(1 + Math.max(0, ...losses.slice(0, i).map((other, j) => (other > loss ? lengths[j]! : 0))));
  const end = lengths.indexOf(Math.max(...lengths));
  let start = end;
  for (let i = end - 1; i >= 0; i--) if (lengths[i] === lengths[start]! - 1 && losses[i]! > losses[start]!) start = i;
  return [start, end];
};

/** The rate in the middle of the longest fall; null where there is none. The first tenth and the last steps don't count. */
export const rateOf = (curve: readonly TriedRate[], steps: number): number | null => {
  const counted = curve.slice(Math.floor(steps / 10), Math.max(0, curve.length - tail));
  if (counted.length < 2) return null;
  const [start, end] = longestFall(counted.map(({ loss }) => loss));
  return end === start ? null : counted[Math.floor((start + end) / 2)]!.learningRate;
};

/**
 * Finds a learning rate by a trial: a run whose rate grows from step to step by one factor, until its smoothed loss is four times the best. The rate is that in the middle of the longest fall
 * of the loss. All that was trained is as before afterwards. Smith, 2015, https://arxiv.org/abs/1506.01186; ended, smoothed and read as by fastai's `lr_find`,
 * https://github.com/fastai/fastai. Throws `bad-option`, and `diverged` where no rate lets the loss fall.
 */
export const findRate = async (target: Trainable, options: FindRateOptions): Promise<FoundRate> => {
  requireAdapted('findRate', target);
  const { from = 1e-7, to = 10, steps = 100, signal, ...run } = options ?? {};
  checkOptions(
    'findRate',
    { executor: onExecutor.executor, from: mustBe.positive, to: mustBe.positive, steps: mustBe.count },
    { executor: run.executor, from, to, steps },
    () => [
      ...(to > from ? [] : [`to must be above from, ${from}, got ${to}`]),
      ...(steps >= 20 ? [] : [`steps must be at least 20, got ${steps}`]),
    ],
  );
  const { executor } = run;
  const kept = new Set<Variable>([...target.params.values(), ...target.state.values(), ...target.running.values()]);
  const before = new Map<Variable, TypedArray>();
  for (const v of kept) before.set(v, (await executor.read(v)).slice());
  const curve: TriedRate[] = [];
  let [mean, best] = [0, Number.POSITIVE_INFINITY];
  const enough = new AbortController();
  try {
    await train(
      // What a method decides between steps is for the run itself.
      { ...target, decision: null },
      {
        ...run,
        steps,
        readEvery: 1,
        maxSkipped: 0,
        schedule: (i) => from * (to / from) ** (i / (steps - 1)),
        signal: signal ? AbortSignal.any([signal, enough.signal]) : enough.signal,
        onStep: ({ loss, learningRate }) => {
          mean = beta * mean + (1 - beta) * loss;
          const smooth = mean / (1 - beta ** (curve.length + 1));
          curve.push({ learningRate, loss: smooth });
          best = Math.min(best, smooth);
          if (smooth > worst * best) enough.abort();
        },
      },
    );
  } catch (error) {
    // That it diverges in the end is what is looked for.
    if (!isPeftError(error) || error.code !== 'diverged') throw error;
  } finally {
    for (const [v, values] of before) await executor.write(v, values);
  }
  const learningRate = rateOf(curve, steps);
  if (learningRate !== null) return { learningRate, curve };
  throw new PeftError(
    'diverged',
    `findRate: the loss falls by no rate from ${from} to ${to} (${curve.length} steps were taken); look at the data, or begin lower`,
  );
};
