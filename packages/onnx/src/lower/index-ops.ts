import { type Shape, sizeOf } from '@peftjs/tensor';
import { type ConstantType, type Emitter, elementType, type Value } from './emitter.ts';
import type { Rule } from './rule.ts';
import { range } from './shape.ts';

/** Which indices lie in [0, rows), and the indices moved into that range. */
export const clamp = (g: Emitter, index: Value, rowCount: number): { readonly valid: Value; readonly safe: Value } => {
  const wide = g.cast(index, 'int64');
  const safe = g.node('Clip', [wide, g.scalar(0, 'int64'), g.scalar(rowCount - 1, 'int64')], index.shape);
  return { valid: g.node('Equal', [wide, safe], index.shape, {}, 'bool'), safe };
};

/** The rows of x that are valid, zeros elsewhere; u32 by way of int64, as ONNX chooses between no u32. */
export const keepWhere = (g: Emitter, valid: Value, x: Value): Value => {
  const mask = g.reshape(valid, [...valid.shape, ...Array<number>(x.shape.length - valid.shape.length).fill(1)]);
  const wide = g.cast(x, x.type === 'uint32' ? 'int64' : x.type);
  return g.cast(g.where(mask, wide, g.scalar(0, wide.type as ConstantType), x.shape), x.type);
};

/** Rows outside the table are zeros, or the run's failure. */
export const gather: Rule<'table' | 'index'> = ({ g, table, index, out }) => {
  if (sizeOf(table.shape) === 0) return g.zeros(out);
  // Of a table in f16 only the rows are widened.
  const rowsAt = (places: Value): Value =>
    g.cast(g.node('Gather', [table, places], out.shape, { axis: 0 }), elementType(out.dtype));
  if (g.strict.has(index.name)) return rowsAt(index);
  const { valid, safe } = clamp(g, index, table.shape[0]!);
  return keepWhere(g, valid, rowsAt(safe));
};

/** Places outside the axis are zeros. */
export const take_along_axis: Rule<'x' | 'index', { readonly axis: number }> = ({ g, x, index, out }, { axis }) => {
  const size = x.shape.at(axis)!;
  if (size === 0 || sizeOf(index.shape) === 0) return g.zeros(out);
  const { valid, safe } = clamp(g, index, size);
  return keepWhere(g, valid, g.node('GatherElements', [x, safe], out.shape, { axis }));
};

/** Values added at a time, at most: each has its place as an int64 of its own. */
const mostPlaces = 2 ** 20;

/**
 * Rows outside the result are dropped. Added value by value (ScatterElements), one after another: ONNX Runtime's ScatterND adds rows from several
 * threads at once and loses sums where an index comes twice.
 */
export const scatter_add: Rule<'values' | 'index', { readonly rows: number }> = ({ g, values, index, out }) => {
  if (sizeOf(values.shape) === 0) return g.zeros(out);
  const { valid, safe } = clamp(g, index, out.shape[0]!);
  const [count, width] = [sizeOf(index.shape), sizeOf(out.shape.slice(1))];
  const positions = g.reshape(safe, [count, 1]);
  const kept = g.reshape(keepWhere(g, valid, values), [count, width]);
  const size = Math.max(1, Math.floor(mostPlaces / width));
  let sum = g.zeros({ shape: [out.shape[0]!, width], dtype: out.dtype });
  for (let from = 0; from < count; from += size) {
    const n = Math.min(size, count - from);
    const part = (x: Value): Value => range(g, x, 0, from, from + n);
    const own = part(positions);
    const places = width === 1 ? own : g.node('Expand', [own, g.ints([n, width])], [n, width]);
    sum = g.node('ScatterElements', [sum, places, part(kept)], sum.shape, { axis: 0, reduction: 'add' });
  }
  return g.reshape(sum, out.shape);
};

export const argmax: Rule<'x', { readonly axis: number }> = ({ g, x, out }, { axis }) =>
  g.cast(
    g.node('ArgMax', [x.type === 'uint32' ? g.cast(x, 'int64') : x], out.shape, { axis, keepdims: 0 }, 'int64'),
    'int32',
  );

export const top_k: Rule<'x', { readonly k: number }> = ({ g, x, outs }, { k }) => {
  const [values, indices] = g.call(
    'TopK',
    [x, g.ints([k])],
    [
      { shape: outs[0]!.shape, type: x.type },
      { shape: outs[1]!.shape, type: 'int64' },
    ],
    { axis: -1 },
  );
  return [values!, g.cast(indices!, 'int32')];
};

/**
 * Rows of what lies behind the axis, written over a copy of x, or over x itself where the executor sees that nothing else reads it. The start is
 * moved to where the value fits. Without a reshape behind it, so that what it makes can be the graph's result.
 */
export const slice_update: Rule<'x' | 'value' | 'start', { readonly axis: number }> = (
  { g, x, value, start, out },
  attrs,
) => {
  if (sizeOf(value.shape) === 0) return x;
  const axis = attrs.axis < 0 ? attrs.axis + x.shape.length : attrs.axis;
  const bounds = [g.scalar(0, 'int64'), g.scalar(x.shape[axis]! - value.shape[axis]!, 'int64')] as const;
  const from = g.node('Clip', [g.cast(start, 'int64'), ...bounds], []);
  const sizes = value.shape.slice(0, axis + 1);
  const places = Array.from({ length: sizeOf(sizes) }, (_, i) => {
    let rest = i;
    return sizes.map((_, d) => {
      const inner = sizeOf(sizes.slice(d + 1));
      const at = Math.floor(rest / inner);
      rest %= inner;
      return at;
    });
  });
  const step = g.node('Mul', [g.ints(sizes.map((_, d) => Number(d === axis))), from], [axis + 1]);
  const shape = [...sizes, axis + 1];
  const positions = g.node('Add', [g.constant(places.flat(), 'int64', shape), step], shape);
  return g.node('ScatterND', [x, positions, value], out.shape);
};

/** x ^= x>>16; x *= 0x7feb352d; x ^= x>>15; x *= 0x846ca68b; x ^= x>>16 in u32. Wellons, https://nullprogram.com/blog/2018/07/31/ */
const lowbias32 = (g: Emitter, x: Value): Value => {
  const u32 = (v: number): Value => g.scalar(v, 'uint32');
  const fold = (t: Value, by: number): Value =>
    g.node('BitwiseXor', [t, g.node('BitShift', [t, u32(by)], t.shape, { direction: 'RIGHT' })], t.shape);
  const times = (t: Value, by: number): Value => g.node('Mul', [t, u32(by)], t.shape);
  return fold(times(fold(times(fold(x, 16), 0x7feb352d), 15), 0x846ca68b), 16);
};

export const random_bits: Rule<'seed', { readonly shape: Shape; readonly stream: number }> = (
  { g, seed },
  { shape, stream },
) => {
  const key = g.node('Add', [lowbias32(g, seed), g.scalar(Math.imul(stream, 0x9e3779b9) >>> 0, 'uint32')], []);
  const positions = g.cast(g.iota(sizeOf(shape)), 'uint32');
  return g.reshape(lowbias32(g, g.node('Add', [positions, lowbias32(g, key)], positions.shape)), shape);
};

export const bits_to_uniform: Rule<'bits'> = ({ g, bits }) => {
  const upper = g.node('BitShift', [bits, g.scalar(8, 'uint32')], bits.shape, { direction: 'RIGHT' });
  return g.node('Mul', [g.cast(upper, 'float'), g.scalar(2 ** -24)], bits.shape);
};
