import type { ByParam } from '@peftjs/core';
import { compile, type Executable, type Executor, type TypedArray } from '@peftjs/tensor';

/** The switch of a run's parameters between what is trained and what is measured and kept. */
export interface Rest {
  /** Writes the wanted values; gives the way back. */
  rest(): Promise<() => Promise<void>>;
  close(): void;
}

/** Makes that switch of values that depend on variables alone; without any, nothing ever changes. */
export const makeRest = (wanted: ByParam | undefined, executor: Executor): Rest => {
  const all = [...(wanted ?? [])];
  let program: Executable | null = null;
  return {
    rest: async () => {
      if (all.length === 0) return async () => {};
      program ??= await compile({ outputs: Object.fromEntries(all.map(([, now], i) => [`${i}`, now])) }, { executor });
      const values = await program.run();
      const before: TypedArray[] = [];
      for (const [i, [param]] of all.entries()) {
        before.push((await executor.read(param)).slice());
        await executor.write(param, values[`${i}`]!);
      }
      return async () => {
        for (const [i, [param]] of all.entries()) await executor.write(param, before[i]!);
      };
    },
    close: () => program?.close(),
  };
};
