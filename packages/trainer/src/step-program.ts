import type { ByParam, Gradients, TrainedStep, Updates } from '@peftjs/core';
import { unscaled } from '@peftjs/core';
import { PeftError, type ProgramSpec, select, type Tensor, type Variable } from '@peftjs/tensor';
import type { OptimizerStep } from './optimizer-step.ts';
import type { Trainable } from './trainable.ts';

/** The name of a metric among a step's outputs. */
export const metricOutput = (name: string): string => `metric ${name}`;

/** The results of a step that are brought back. */
export const stepOutputs = (metrics: readonly string[]): readonly string[] => [
  'loss',
  'gradNorm',
  'finite',
  ...metrics.map(metricOutput),
];

/** Gradients and new values, for the statistics of a step. */
const trainedStep = (gradients: ByParam, updated: ByParam): TrainedStep => {
  const of = <T>(found: T | undefined, param: Variable): T => {
    if (found !== undefined) return found;
    throw new PeftError('bad-program', `train: ${param.node.name} is not trained, so a step has no gradient of it`);
  };
  return { gradient: (p) => of(gradients.get(p), p), updated: (p) => of(updated.get(p), p) };
};

/** All updates; where a statistic writes what the optimiser steps, its value counts. Of a step that is not finite there are none. */
const combined = (updates: Updates, statistics: Updates, finite: Tensor): Updates => [
  ...new Map([...updates, ...statistics.map(([v, now]) => [v, select(finite, now, v)] as const)]),
];

/** The end of a step's program: what it tells, and new values of parameters, of the optimiser's state and of the methods' statistics. */
export const stepProgram = (
  target: Trainable,
  {
    loss,
    metrics,
    gradients,
  }: { readonly loss: Tensor; readonly metrics: Readonly<Record<string, Tensor>>; readonly gradients: Gradients },
  { next, updates, gradNorm, finite }: OptimizerStep,
): Required<ProgramSpec> => ({
  outputs: {
    loss,
    gradNorm,
    finite,
    ...Object.fromEntries(Object.entries(metrics).map(([name, value]) => [metricOutput(name), value])),
  },
  updates: combined(updates, target.statistics(trainedStep(unscaled(gradients), next)), finite),
});
