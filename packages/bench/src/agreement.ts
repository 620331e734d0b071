import { median } from './stats.ts';
import type { Task } from './tasks/task.ts';

/** The first results of a stack: losses of training steps, tokens of a continuation, mean squares of products. */
export type Values = readonly number[];

/** Tokens that are the same at least where a stack rounds: after one near tie all that follow are others. */
const leastTokens = 8;

/** How far a value may be from the reference. Tokens must be the same; products sum in another order; a stack that rounds what it multiplies to 8 or 16 bits loses hundredths of a nat. */
const isNear = ({ kind }: Task, value: number, expected: number, rounds: boolean): boolean => {
  if (kind === 'generate') return value === expected;
  const limit = kind === 'step' ? (rounds ? 2e-2 : 1e-3) : 1e-3 * Math.abs(expected);
  return Math.abs(value - expected) <= limit;
};

/** The values held to be right: PyTorch's where it took part, else the middle of all. */
export const referenceOf = (values: ReadonlyMap<string, Values>): Values => {
  const torch = values.get('torch');
  if (torch) return torch;
  const all = [...values.values()];
  const length = Math.max(0, ...all.map((v) => v.length));
  return Array.from({ length }, (_, i) => median(all.flatMap((v) => v.slice(i, i + 1))));
};

/** Whether a stack computes what the others do. Of training steps those are compared that both made: a slow stack warms up with fewer. */
export const agrees = (task: Task, values: Values, reference: Values, rounds = false): boolean => {
  if (task.kind === 'generate' && rounds) {
    const first = values.findIndex((v, i) => v !== reference[i]);
    return values.length === reference.length && (first < 0 || first >= Math.min(leastTokens, values.length));
  }
  const shared = Math.min(values.length, reference.length);
  const isWhole = task.kind === 'step' || values.length === reference.length;
  return shared > 0 && isWhole && values.slice(0, shared).every((v, i) => isNear(task, v, reference[i]!, rounds));
};
