import { type DType, type Shape, sizeOf } from '@peftjs/tensor';
import { type Emitter, elementType, type Value } from './emitter.ts';
import type { Rule } from './rule.ts';

export const reshape: Rule<'x', { readonly shape: Shape }> = ({ g, x }, { shape }) => g.reshape(x, shape);

export const transpose: Rule<'x', { readonly perm: readonly number[] }> = ({ g, x }, { perm }) => g.transpose(x, perm);

export const broadcast_to: Rule<'x', { readonly shape: Shape }> = ({ g, x }, { shape }) =>
  sizeOf(shape) === sizeOf(x.shape) ? g.reshape(x, shape) : g.node('Expand', [x, g.ints(shape)], shape);

export const stop_gradient: Rule<'x'> = ({ x }) => x;

/**
 * The same bytes, through a Reshape whose target shape is made of the token's size times 0: an edge that ONNX Runtime's execution order respects, that it does not
 * fold away as it does `Shape`, and that costs no copy. The size is that of the run: rows whose label is ignored are left out of a head's loss, say. Another Reshape must
 * not come right behind: ONNX Runtime makes one of two and fails on files of free sizes.
 */
export const availableAfter = (g: Emitter, x: Value, token: Value): Value =>
  sizeOf(token.shape) === 0 ? x : g.node('Reshape', [x, numbersAfter(g, x.shape, [token])], x.shape);

/** Whole numbers that are there when tokens are. */
export const numbersAfter = (g: Emitter, numbers: readonly number[], tokens: readonly Value[]): Value =>
  tokens.reduce<Value>((sum, token) => {
    const zero = g.node('Mul', [g.node('Size', [token], [], {}, 'int64'), g.scalar(0, 'int64')], []);
    return g.node('Add', [sum, zero], [numbers.length]);
  }, g.ints(numbers));

/** Places [from, to) of an axis. */
export const range = (g: Emitter, x: Value, axis: number, from: number, to: number): Value =>
  from === 0 && to === x.shape[axis]
    ? x
    : g.node(
        'Slice',
        [x, g.ints([from]), g.ints([to]), g.ints([axis])],
        x.shape.map((d, i) => (i === axis ? to - from : d)),
      );

export const after: Rule<'x' | 'token'> = ({ g, x, token }) => availableAfter(g, x, token);

export const concat: Rule<'a' | 'b', { readonly axis: number }> = ({ g, a, b, out }, { axis }) =>
  g.node('Concat', [a, b], out.shape, { axis });

export const slice: Rule<'x', { readonly axis: number; readonly start: number; readonly end: number }> = (
  { g, x, out },
  { axis, start, end },
) => g.node('Slice', [x, g.ints([start]), g.ints([end]), g.ints([axis])], out.shape);

export const pad: Rule<'x', { readonly axis: number; readonly before: number; readonly after: number }> = (
  { g, x, out },
  attrs,
) => {
  if (sizeOf(x.shape) === 0) return g.zeros(out);
  const axis = attrs.axis < 0 ? attrs.axis + x.shape.length : attrs.axis;
  const at = (n: number): number[] => x.shape.map((_, i) => (i === axis ? n : 0));
  return g.node('Pad', [x, g.ints([...at(attrs.before), ...at(attrs.after)])], out.shape);
};

/** f16 is a rounding here: values stay in f32. Truncation towards zero is what Cast does. */
export const cast: Rule<'x', { readonly dtype: DType }> = ({ g, x }, { dtype }) =>
  dtype === 'f16' ? g.cast(g.cast(x, 'float16'), 'float') : g.cast(x, elementType(dtype));
