import type { TypedArray } from './dtype.ts';
import { initialData, isVariable, type Tensor, wasWritten } from './graph.ts';

/** The reason that the host does not know a tensor's values: ops compute it, or an executor holds others than it began with. */
export type NotOnHost = 'computed' | 'written';

/**
 * A function that loads a tensor's values from where they come from (a constant, an array, a file). Throws what `refuse` makes where they are not there,
 * at once and also when they are loaded.
 */
export const hostValues = (t: Tensor, refuse: (why: NotOnHost) => Error): (() => Promise<TypedArray>) => {
  if (t.node.kind === 'constant') {
    const { data } = t.node;
    return async () => data;
  }
  if (!isVariable(t) || (typeof t.node.init !== 'function' && !ArrayBuffer.isView(t.node.init)))
    throw refuse('computed');
  const check = (): void => {
    if (wasWritten(t)) throw refuse('written');
  };
  check();
  return async () => {
    check();
    return (await initialData(t))!;
  };
};
