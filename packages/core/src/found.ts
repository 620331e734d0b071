import type { Executor, Tensor, TypedArray, Variable } from '@peftjs/tensor';

/** How values are found on the host, of those of a step, for a tensor that a transform keeps. */
export interface FoundRule {
  /** A tensor of the step: a gradient, as the transform is given it. */
  readonly of: Tensor;
  /** Whether they are found anew before the step with this number is taken; the first is 0. */
  due(step: number): boolean;
  /** Null where its values tell nothing: it is due again in the next step then. */
  find(values: TypedArray): Promise<TypedArray | null>;
}

/** A tensor that a transform keeps, and how its values are found. */
export interface Found extends FoundRule {
  readonly variable: Variable;
}

/** Finds what is due before a step of one program. `compute` runs that step's outputs. */
export type Finder = (
  step: number,
  found: readonly Found[],
  finite: Tensor,
  compute: (outputs: Readonly<Record<string, Tensor>>) => Promise<Record<string, TypedArray>>,
) => Promise<void>;

/** The host's part of one run. */
export interface Finding {
  /** Whether anything is due: most steps ask for nothing, and read nothing back. */
  isDue(step: number, found: readonly Found[]): boolean;
  readonly find: Finder;
}

/** Opens the host's part of a run's transforms. In a step that is not finite nothing is found, and what was due is due in the next. */
export const makeFinding = (executor: Pick<Executor, 'write'>): Finding => {
  const missed = new Set<Variable>();
  const isDue = (step: number) => (one: Found) => missed.has(one.variable) || one.due(step);
  return {
    isDue: (step, found) => found.some(isDue(step)),
    find: async (step, found, finite, compute) => {
      const due = found.filter(isDue(step));
      const outputs = Object.fromEntries(due.map(({ of }, i) => [`found ${i}`, of]));
      const values = await compute({ ...outputs, finite });
      for (const [i, one] of due.entries()) {
        const now = values['finite']![0] === 1 ? await one.find(values[`found ${i}`]!) : null;
        if (now) await executor.write(one.variable, now);
        if (now) missed.delete(one.variable);
        else missed.add(one.variable);
      }
    },
  };
};
