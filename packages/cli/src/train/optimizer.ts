import type { GradientTransform, Objective } from '@peftjs/core';
import type { Executor } from '@peftjs/tensor';
import {
  type NamedOptimizer,
  type NamedSchedule,
  optimizerOf,
  type Schedule,
  scheduleOf,
  type TrainOptions,
} from '@peftjs/trainer';
import type { RunConfig } from '../config/schema.ts';
import type { Context } from '../context.ts';
import type { Prepared } from './prepared.ts';

/** The optimiser of a run. */
export const optimizer = ({ optimizer: { rate: _, clip, ...named } }: RunConfig): GradientTransform =>
  optimizerOf({ ...named, clip: clip > 0 ? clip : null } as NamedOptimizer);

/** The schedule of a run. */
const schedule = ({ schedule: { warmup, ...named } }: RunConfig, learningRate: number, steps: number): Schedule => {
  const warming = warmup === undefined ? {} : { warmup: Math.round(warmup * steps) };
  const decay = named['decay'] === undefined ? {} : { decay: Math.round((named['decay'] as number) * steps) };
  return scheduleOf({ ...named, ...warming, ...decay } as NamedSchedule, { learningRate, steps });
};

/** How a run trains, whether it is kept or a trial that is not. */
export const training = (
  config: RunConfig,
  { examples, objective, steps, rate }: Prepared,
  executor: Executor,
  { signal }: Context,
): TrainOptions => ({
  executor,
  data: examples.train,
  steps,
  accumulate: config.accumulate,
  seed: config.seed,
  recompute: config.recompute,
  optimizer: optimizer(config),
  schedule: schedule(config, rate, steps),
  ...(objective && { objective: objective as Objective<never> }),
  stopOn: ['SIGINT', 'SIGTERM'],
  ...(signal && { signal }),
});
