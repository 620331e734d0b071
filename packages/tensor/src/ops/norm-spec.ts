import { PeftError } from '../error.ts';
import { type Spec, sameShape, shapeError } from '../shape.ts';
import { expectF32 } from './expect.ts';

/** Attributes of the norms: what is added to the variance (or mean square) before the root. */
export interface NormAttrs {
  readonly eps: number;
}

/** Checks a norm's inputs: `x` [..., dim]; `dy` like x; all others [dim]. Returns the spec of x. */
export const normSpec = (
  name: string,
  specs: { readonly x: Spec; readonly dy?: Spec; readonly [input: string]: Spec | undefined },
  { eps }: NormAttrs,
): Spec => {
  const { x, dy, ...vectors } = specs;
  expectF32(name, specs);
  if (!(eps >= 0)) throw new PeftError('bad-option', `${name}: got eps ${eps}; it must be a number of at least 0`);
  if (x.shape.length === 0) throw shapeError(name, [x], 'x must have at least one axis');
  const dim = x.shape.at(-1)!;
  for (const [input, spec] of Object.entries(vectors))
    if (spec && !sameShape(spec.shape, [dim]))
      throw shapeError(name, [x, spec], `${input} must be [${dim}], as long as the last axis of x`);
  if (dy && !sameShape(dy.shape, x.shape)) throw shapeError(name, [x, dy], 'dy must have the shape of x');
  return { shape: x.shape, dtype: x.dtype };
};
