import { grad } from '@peftjs/autograd';
import type { Examples } from '@peftjs/core';
import { inputsOf } from '@peftjs/core/collect';
import { compile, type Executable, type Executor, PeftError, sizeOf, type Variable } from '@peftjs/tensor';
import { meanOf, type TaskModel } from '@peftjs/transformer';

/** Loss, and its gradients by trained values, end to end, and by those that weigh them. */
export interface Looked {
  readonly loss: number;
  readonly byValues: Float64Array;
  readonly byStructure: Float64Array;
}

/** Writes values, one variable after the other. */
export const writeAll = async (
  executor: Executor,
  variables: readonly Variable[],
  values: Float64Array,
): Promise<void> => {
  let start = 0;
  for (const v of variables) {
    const size = sizeOf(v.shape);
    await executor.write(v, Float32Array.from(values.subarray(start, start + size)));
    start += size;
  }
};

/** Values end to end. */
export const joined = (parts: readonly ArrayLike<number>[]): Float64Array => {
  const all = new Float64Array(parts.reduce((n, part) => n + part.length, 0));
  let start = 0;
  for (const part of parts) {
    all.set(part, start);
    start += part.length;
  }
  return all;
};

/** The gradients of a model by some variables, of any batch; a program for each of their shapes. */
export const makeLook = (
  who: string,
  model: TaskModel,
  values: readonly Variable[],
  structure: readonly Variable[],
  executor: Executor,
): { look(batch: Examples): Promise<Looked>; close(): void } => {
  const programs = new Map<string, Promise<Executable>>();
  const programOf = (batch: Examples): Promise<Executable> => {
    const key = JSON.stringify(batch.shapes);
    if (!programs.has(key)) {
      const loss = meanOf(model.loss(inputsOf(batch)));
      const gradients = grad(loss, [...values, ...structure]).map((g, i) => [`gradient${i}`, g] as const);
      programs.set(key, compile({ outputs: { loss, ...Object.fromEntries(gradients) } }, { executor }));
    }
    return programs.get(key)!;
  };
  return {
    look: async (batch) => {
      const results = await (await programOf(batch)).run(batch.columns);
      const all = [...values, ...structure].map((_, i) => results[`gradient${i}`]!);
      const loss = results['loss']![0]!;
      if (!Number.isFinite(loss))
        throw new PeftError('diverged', `${who}: the loss is ${loss}; lower the learning rates`);
      return { loss, byValues: joined(all.slice(0, values.length)), byStructure: joined(all.slice(values.length)) };
    },
    close: () => {
      for (const program of programs.values()) void program.then((ready) => ready.close());
    },
  };
};
