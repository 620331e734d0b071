import type { Objective } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Loss, Metric, TaskModel } from '@peftjs/transformer';

/** Names of what an objective reports, or without one the task. */
export const metricNames = (model: TaskModel<unknown>, objective: Objective<never> | undefined): readonly string[] =>
  (objective ?? model.task).metrics ?? [];

/** The metrics of a loss that its objective names, in that order. Throws `bad-program` where one of them is not there. */
export const metricsOf = ({ metrics = {} }: Loss, names: readonly string[]): Readonly<Record<string, Metric>> => {
  const missing = names.filter((name) => !metrics[name]);
  if (missing.length === 0) return Object.fromEntries(names.map((name) => [name, metrics[name]!]));
  throw new PeftError(
    'bad-program',
    `train: the objective names the metrics ${missing.join(', ')}, its loss has ${Object.keys(metrics).join(', ') || 'none'}; give them as Loss.metrics`,
  );
};
