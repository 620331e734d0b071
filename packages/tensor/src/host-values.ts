import type { TypedArray } from './dtype.ts';
import { initialLoader, isVariable, type Tensor, writtenBy } from './graph.ts';

/** The reason that the host does not know a tensor's values: ops compute it, or an executor holds others than it began with. */
export type NotOnHost = 'computed' | 'written';

/**
 * A function that loads a tensor's values from where they come from (a constant, an array, a file). Throws what `refuse` makes where they are not there,
 * at once and also when they are loaded. The function keeps no variable alive: what an executor holds of a model that was quantised is dropped with the model.
 */
export const hostValues = (t: Tensor, refuse: (why: NotOnHost) => Error): (() => Promise<TypedArray>) => {
  if (t.node.kind === 'constant') {
    const { data } = t.node;
    return async () => data;
  }
  const load = isVariable(t) ? initialLoader(t) : null;
  if (!isVariable(t) || !load) throw refuse('computed');
  const isWritten = writtenBy(t);
  const check = (): void => {
    if (isWritten()) throw refuse('written');
  };
  check();
  return async () => {
    check();
    return load();
  };
};
