import type { Dispatch } from '../kernel.ts';
import type { Value } from './values.ts';

/** Passes of a program's kernels that do nothing but fill scratch. */
export interface SharedPasses {
  /**
   * Whether a kernel finds what a pass of it fills, in the scratch of one before it: the same text over the same values, some of which the program computes. `values` then names
   * that scratch. Scratch that is made of variables alone is made again: it would be held from the forward pass to the backward one.
   */
  isDone(
    pass: Dispatch,
    plan: readonly Dispatch[],
    temps: Readonly<Record<string, number>>,
    values: Record<string, Value>,
  ): boolean;
}

/** Scratch that several products of one x need (its rows rounded, its factors) is filled once. */
export const sharedPasses = (): SharedPasses => {
  const numbers = new Map<Value, number>();
  const numberOf = (value: Value): number => numbers.get(value) ?? numbers.set(value, numbers.size).get(value)!;
  const known = new Map<string, ReadonlyMap<string, Value>>();
  return {
    isDone: (pass, plan, temps, values) => {
      const filled = pass.bindings.filter(({ access }) => access === 'read_write').map(({ buffer }) => buffer);
      const read = pass.bindings.filter(({ access }) => access === 'read');
      const others = plan.filter((d) => d !== pass).flatMap(({ bindings }) => bindings);
      const isOwn = (name: string): boolean =>
        name in temps && !others.some(({ buffer, access }) => buffer === name && access === 'read_write');
      if (!filled.every(isOwn) || !read.some(({ buffer }) => values[buffer]?.home === 'pool')) return false;
      const { wgsl, params, workgroups, bindings } = pass;
      const parts = read.map(({ buffer, window }) => [numberOf(values[buffer]!), window]);
      const key = JSON.stringify([
        wgsl,
        params,
        workgroups,
        bindings.map((b) => b.buffer),
        parts,
        filled.map((name) => temps[name]),
      ]);
      const done = known.get(key);
      if (done) for (const [name, value] of done) values[name] = value;
      else known.set(key, new Map(filled.map((name) => [name, values[name]!])));
      return done !== undefined;
    },
  };
};
