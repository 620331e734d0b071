import { gather, type Tensor, transpose, variable } from '@peftjs/tensor';
import type { Dense, Linear } from '@peftjs/transformer';
import { hostFloats } from '../host-floats.ts';

/** The order of inputs that sorts them by group, stably; null where they are in order. */
export const orderOf = (groups: Int32Array): Int32Array | null => {
  if (groups.every((g, i) => i === 0 || g >= groups[i - 1]!)) return null;
  return Int32Array.from(groups.keys()).sort((a, b) => groups[a]! - groups[b]! || a - b);
};

/** Columns of a matrix [rows, order.length] in an order. */
const columnsIn = (order: Int32Array, values: Float32Array): Float32Array => {
  const width = order.length;
  return Float32Array.from(values, (_, i) => values[i - (i % width) + order[i % width]!]!);
};

/** A last axis in an order. */
const taken = (x: Tensor, index: Tensor): Tensor => {
  const last = x.shape.length - 1;
  const front = [last, ...Array.from({ length: last }, (_, axis) => axis)];
  const back = [...Array.from({ length: last }, (_, axis) => axis + 1), 0];
  return transpose(gather(transpose(x, front), index), back);
};

/** A layer whose inputs come in an order. */
export interface OrderedLinear {
  readonly base: Linear;
  readonly order: Int32Array;
}

const behind = new WeakMap<Linear, OrderedLinear>();

/** The layer and order that `orderedLinear` made a layer of; null where it did not, or something is wrapped around it. */
export const orderBehind = (linear: Linear): OrderedLinear | null => behind.get(linear) ?? null;

/** A layer of which `base` holds the columns in an order: it takes its inputs in that order. */
export const orderedLinear = (base: Linear, order: Int32Array, name: string): Linear => {
  const places = new Int32Array(order.length);
  for (const [to, from] of order.entries()) places[from] = to;
  const [sorted, unsorted] = [order, places].map((values, i) =>
    variable(`${name}.${i === 0 ? 'order' : 'places'}`, [order.length], values, 'i32'),
  ) as [Tensor, Tensor];
  const linear: Linear = {
    inDim: base.inDim,
    outDim: base.outDim,
    // Of another width it goes on as it is: `base` tells of it, where a gather would take what it finds.
    apply: (x, call) => base.apply(x.shape.at(-1) === order.length ? taken(x, sorted) : x, call),
    dense: () => {
      const { weight, bias } = base.dense();
      return { weight: taken(weight, unsorted), bias };
    },
    encode: ({ weight, bias }: Dense) => {
      const load = hostFloats('encode', name, weight);
      const inOrder = variable(`${name}.ordered`, weight.shape, async () => columnsIn(order, await load()));
      return orderedLinear(base.encode({ weight: inOrder, bias }), order, name);
    },
  };
  behind.set(linear, { base, order });
  return linear;
};
