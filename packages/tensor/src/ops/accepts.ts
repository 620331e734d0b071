import type { DType } from '../dtype.ts';
import { PeftError } from '../error.ts';
import { describe, type Spec } from '../shape.ts';

/** Throws `bad-dtype` unless an op's input has one of the dtypes that the op takes. */
export const accepts = (op: string, input: string, spec: Spec, dtypes: readonly DType[]): void => {
  if (!dtypes.includes(spec.dtype))
    throw new PeftError(
      'bad-dtype',
      `${op}: ${input} is ${describe(spec)}, it takes ${dtypes.join(' or ')}; cast it first`,
    );
};

/** Throws `bad-dtype` unless two inputs of an op have the same dtype. */
export const agree = (op: string, a: Spec, b: Spec): void => {
  if (a.dtype !== b.dtype)
    throw new PeftError('bad-dtype', `${op}: got ${describe(a)} and ${describe(b)}; cast one to the other's dtype`);
};
