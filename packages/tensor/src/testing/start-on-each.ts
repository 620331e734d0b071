import type { Executor } from '../compile.ts';
import type { Variable } from '../graph.ts';

/**
 * Gives variables their initial values on each of several executors as its own, so that each may change them: for comparing what the same
 * updates leave on one and on another.
 */
export const startOnEach = async (executors: readonly Executor[], variables: Iterable<Variable>): Promise<void> => {
  for (const variable of variables) {
    const initial = await executors[0]!.read(variable);
    for (const executor of executors) await executor.write(variable, initial);
  }
};
