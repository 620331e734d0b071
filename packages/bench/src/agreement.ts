import { median } from './stats.ts';
import type { Task } from './tasks/task.ts';

/** The first results of a stack: losses of training steps, tokens of a continuation, mean squares of products. */
export type Values = readonly number[];

/** How far a value may be from the reference. Tokens must be the same; products sum in another order. */
const isNear = ({ kind }: Task, value: number, expected: number): boolean => {
  if (kind === 'generate') return value === expected;
  const limit = kind === 'step' ? 1e-3 : 1e-3 * Math.abs(expected);
  return Math.abs(value - expected) <= limit;
};

/** What is held to be right: the values of PyTorch where it took part, else the middle of all. */
export const referenceOf = (values: ReadonlyMap<string, Values>): Values => {
  const torch = values.get('torch');
  if (torch) return torch;
  const all = [...values.values()];
  const length = Math.max(0, ...all.map((v) => v.length));
  return Array.from({ length }, (_, i) => median(all.flatMap((v) => v.slice(i, i + 1))));
};

/**
 * Whether a stack computes what the others do. A slow stack warms up with fewer training steps than others: of those at least two are
 * compared, since the second tells of the first update.
 */
export const agrees = (task: Task, values: Values, reference: Values): boolean => {
  const [shared, longest] = [Math.min(values.length, reference.length), Math.max(values.length, reference.length)];
  const needed = task.kind === 'step' ? Math.min(2, longest) : longest;
  return (
    shared > 0 && shared >= needed && values.slice(0, shared).every((v, i) => isNear(task, v, reference[i]!))
  );
};
