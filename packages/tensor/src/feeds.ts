import type { Feeds } from './compile.ts';
import { arrayName, holds, type TypedArray } from './dtype.ts';
import { PeftError } from './error.ts';
import { markWritten, type Variable } from './graph.ts';
import type { Program } from './program.ts';
import { describe, type Spec, sizeOf } from './shape.ts';

const mismatch = (spec: Spec, data: TypedArray | undefined): string | null => {
  if (data === undefined) return 'is missing';
  if (!holds(spec.dtype, data))
    return `takes a ${arrayName(spec.dtype)}, got ${(data as object)?.constructor?.name ?? typeof data}`;
  if (data.length !== sizeOf(spec.shape))
    return `takes ${describe(spec)}, ${sizeOf(spec.shape)} values, got ${data.length}`;
  return null;
};

/** Checks feeds against a program's inputs, all at once; throws `bad-feed`. Executors call it before every run. */
export const checkFeeds = (program: Program, feeds: Feeds): void => {
  const known = new Set(program.inputs.map((n) => n.name));
  const problems = [
    ...program.inputs.flatMap((n) => {
      const problem = mismatch(n.outs[0]!, feeds[n.name]);
      return problem ? [`${n.name} ${problem}`] : [];
    }),
    ...Object.keys(feeds).flatMap((name) =>
      known.has(name) ? [] : [`${name} is not an input; inputs: ${[...known].join(', ') || 'none'}`],
    ),
  ];
  if (problems.length > 0) throw new PeftError('bad-feed', `run: ${problems.join('; ')}`);
};

/** Checks data written to a variable, and notes that it is; throws `bad-feed`. */
export const checkWrite = (variable: Variable, data: TypedArray): void => {
  const problem = mismatch(variable, data);
  if (problem) throw new PeftError('bad-feed', `write: variable ${variable.node.name} ${problem}`);
  markWritten([variable]);
};
