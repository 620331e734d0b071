import { PeftError } from '@peftjs/tensor';
import type { Loss, Metric } from '@peftjs/transformer';

/** The metrics of a loss that its objective names, in that order. Throws `bad-program` where one of them is not there. */
export const metricsOf = ({ metrics = {} }: Loss, names: readonly string[]): Readonly<Record<string, Metric>> => {
  const missing = names.filter((name) => !metrics[name]);
  if (missing.length === 0) return Object.fromEntries(names.map((name) => [name, metrics[name]!]));
  throw new PeftError(
    'bad-program',
    `train: the objective names the metrics ${missing.join(', ')}, its loss has ${Object.keys(metrics).join(', ') || 'none'}; give them as Loss.metrics`,
  );
};
