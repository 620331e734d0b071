import { checkOptions, mustBe, type OnExecutor, onExecutor, type Rules } from '@peftjs/tensor';
import type { TrainStep } from './train-step.ts';

/** Processes that train together, each on its own batches: what a data-parallel run needs of its transport. */
export interface Group {
  /** Which of them this is, from 0. */
  readonly rank: number;
  readonly size: number;
  /** Sums of all processes, in place; the same bits in each of them. */
  allReduce(values: Float32Array): Promise<void>;
  /** The values of one of them, in place in all others, bit by bit. */
  broadcast(values: Float32Array, root: number): Promise<void>;
}

/** A group of one. */
export const alone: Group = { rank: 0, size: 1, allReduce: async () => {}, broadcast: async () => {} };

/** The executor and the processes of a sum. */
export interface ReduceStepOptions extends OnExecutor {
  readonly group: Group;
  /** A number of this process that is added up too. Default 0. */
  readonly own?: number;
}

const rules: Rules<ReduceStepOptions> = { ...onExecutor, group: mustBe.given(mustBe.object), own: mustBe.number };

/**
 * Adds up what the batches of all processes gave, between `collect` and `apply`. `own` is added up with it, so that all learn of what one wants (to
 * stop); gives that sum.
 */
export const reduceStep = async (
  { gathered }: Pick<TrainStep, 'gathered'>,
  options: ReduceStepOptions,
): Promise<number> => {
  checkOptions('reduceStep', rules, options);
  const { executor, group, own = 0 } = options;
  const parts = await Promise.all(gathered.map((v) => executor.read(v)));
  // All in one call.
  const values = new Float32Array(parts.reduce((n, part) => n + part.length, 1));
  values[0] = own;
  let at = 1;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  await group.allReduce(values);
  at = 1;
  for (const [i, v] of gathered.entries()) await executor.write(v, values.slice(at, (at += parts[i]!.length)));
  return values[0]!;
};

/** Whether one of the processes says yes. */
export const anyOf = async (own: boolean, group: Group): Promise<boolean> => {
  const values = Float32Array.of(own ? 1 : 0);
  await group.allReduce(values);
  return values[0]! > 0;
};
