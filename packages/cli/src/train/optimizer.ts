import type { GradientTransform } from '@peftjs/core';
import { type NamedOptimizer, type NamedSchedule, optimizerOf, type Schedule, scheduleOf } from '@peftjs/trainer';
import type { RunConfig } from '../config/schema.ts';

/** The optimiser of a run. */
export const optimizer = ({ optimizer: { rate: _, clip, ...named } }: RunConfig): GradientTransform =>
  optimizerOf({ ...named, clip: clip > 0 ? clip : null } as NamedOptimizer);

/** The schedule of a run. */
export const schedule = (
  { schedule: { warmup, ...named } }: RunConfig,
  learningRate: number,
  steps: number,
): Schedule => {
  const warming = warmup === undefined ? {} : { warmup: Math.round(warmup * steps) };
  const decay = named['decay'] === undefined ? {} : { decay: Math.round((named['decay'] as number) * steps) };
  return scheduleOf({ ...named, ...warming, ...decay } as NamedSchedule, { learningRate, steps });
};
