import { readsOf, type Step, writesOf } from './steps.ts';
import type { Value } from './values.ts';

/**
 * When values are touched, as positions in a list of steps; -1 and beyond the end stand for before and after the run.
 */
export interface Usage {
  /** Positions of the steps that read a value, ascending. */
  reads(value: Value): readonly number[];
  /** Positions of the steps that write a value, ascending. */
  writes(value: Value): readonly number[];
  /** All values that steps touch. */
  readonly values: ReadonlySet<Value>;
}

/** Looks up which steps touch which values; `resolve` tells the value whose memory a value takes. */
export const usageOf = (steps: readonly Step[], resolve: (value: Value) => Value = (v) => v): Usage => {
  const reads = new Map<Value, number[]>();
  const writes = new Map<Value, number[]>();
  const note = (map: Map<Value, number[]>, value: Value, at: number): void => {
    const list = map.get(value) ?? map.set(value, []).get(value)!;
    if (list.at(-1) !== at) list.push(at);
  };
  for (const [at, step] of steps.entries()) {
    for (const value of readsOf(step)) note(reads, resolve(value), at);
    for (const value of writesOf(step)) note(writes, resolve(value), at);
  }
  return {
    reads: (v) => reads.get(v) ?? [],
    writes: (v) => writes.get(v) ?? [],
    values: new Set([...reads.keys(), ...writes.keys()]),
  };
};
