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
  const length = all.length > 0 ? Math.min(...all.map((v) => v.length)) : 0;
  return Array.from({ length }, (_, i) => median(all.map((v) => v[i]!)));
};

/** Whether a stack computes what the others do. */
export const agrees = (task: Task, values: Values, reference: Values): boolean =>
  values.length > 0 && values.length === reference.length && values.every((v, i) => isNear(task, v, reference[i]!));
