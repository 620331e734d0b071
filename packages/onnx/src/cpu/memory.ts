import { byteSize, type Program, type Variable } from '@peftjs/tensor';
import { memoryError } from '@peftjs/tensor/executor';
import { type Peak, plannedVariables } from './plan.ts';

/** Bytes that a program will allocate: its intermediate values, and the variables that are not held yet. */
export const neededFor = (program: Program, peak: Peak, isHeld: (v: Variable) => boolean): number =>
  program.variables.reduce((n, v) => n + (isHeld(v) ? 0 : byteSize(v)), peak.bytes);

/**
 * Checks what a program will allocate before anything is: its intermediate values, and the variables that are not held yet.
 * Throws `out-of-memory` with the sizes and what would make it fit.
 */
export const checkMemory = (program: Program, peak: Peak, isHeld: (v: Variable) => boolean, limit: number): void => {
  const fresh = program.variables.filter((v) => !isHeld(v));
  const needed = neededFor(program, peak, isHeld);
  if (needed > limit)
    throw memoryError({
      who: 'cpu',
      program,
      needed,
      available: limit,
      tensors: [...plannedVariables(fresh), ...peak.tensors],
    });
};
