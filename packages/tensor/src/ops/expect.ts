import { PeftError } from '../error.ts';
import { describe, type Spec } from '../shape.ts';

/** Throws `bad-dtype` unless all named inputs are f32; names each that is not. */
export const expectF32 = (op: string, specs: Readonly<Record<string, Spec | undefined>>): void => {
  const others = Object.entries(specs).flatMap(([name, spec]) =>
    spec && spec.dtype !== 'f32' ? [`${name} ${describe(spec)}`] : [],
  );
  if (others.length > 0)
    throw new PeftError('bad-dtype', `${op}: got ${others.join(', ')}; these must be f32, cast them first`);
};
