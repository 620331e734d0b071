import { defineOp, type Op } from '../define-op.ts';
import { PeftError } from '../error.ts';
import type { Tensor } from '../graph.ts';
import { elementwise } from '../kernel.ts';
import { broadcastShapes, broadcastStrides, describe, type Shape, sizeOf, stridesOf } from '../shape.ts';
import { unbroadcast } from './unbroadcast.ts';

/** An op of two inputs, applied to each pair of elements under numpy's broadcasting. */
export type Binary<Name extends string> = Op<Name, readonly ['a', 'b']>;

interface BinaryRecord<Name extends string> {
  readonly name: Name;
  /** WGSL expression of `a` and `b`. */
  readonly body: string;
  readonly value: (a: number, b: number) => number;
  /** Gradients of the common shape; summed back to each input's own. */
  readonly vjp: 'none' | ((t: { readonly a: Tensor; readonly b: Tensor; readonly out: Tensor; readonly dy: Tensor }) => { readonly a: Tensor; readonly b: Tensor });
  readonly ranges?: { readonly a?: readonly [number, number]; readonly b?: readonly [number, number] };
}

/** Positions in a (broadcast) operand for each position of `into`, in order. */
export const broadcastIndex = (shape: Shape, into: Shape): ((i: number) => number) => {
  const from = broadcastStrides(shape, into);
  const to = stridesOf(into);
  return (i) => to.reduce((at, stride, axis) => at + (Math.floor(i / stride) % into[axis]!) * from[axis]!, 0);
};

const pairs: readonly { readonly a: Shape; readonly b: Shape }[] = [
  { a: [3, 257], b: [3, 257] },
  { a: [3, 1, 5], b: [4, 1] },
  { a: [2, 3, 4], b: [] },
  { a: [4], b: [2, 3, 4] },
  { a: [0, 4], b: [4] },
];

/** Builds the record of an elementwise op of two inputs of one dtype. */
export const binary = <Name extends string>({ name, body, value, vjp, ranges }: BinaryRecord<Name>): Binary<Name> =>
  defineOp<Name, readonly ['a', 'b']>({
    name,
    inputs: ['a', 'b'],
    infer: ({ a, b }) => {
      if (a.dtype !== b.dtype) throw new PeftError('bad-dtype', `${name}: got ${describe(a)} and ${describe(b)}; cast one to the other's dtype`);
      return { shape: broadcastShapes(name, [a, b]), dtype: a.dtype };
    },
    kernel: elementwise(body),
    vjp:
      vjp === 'none'
        ? 'none'
        : (t) => {
            const { a, b } = vjp(t);
            return { a: unbroadcast(a, t.a.shape), b: unbroadcast(b, t.b.shape) };
          },
    reference: ({ a, b }, specs) => {
      const at = broadcastIndex(specs.a.shape, specs.out.shape);
      const bt = broadcastIndex(specs.b.shape, specs.out.shape);
      return Float64Array.from({ length: sizeOf(specs.out.shape) }, (_, i) => value(a[at(i)]!, b[bt(i)]!));
    },
    samples: pairs.map((shapes) => ({ shapes, ...(ranges && { ranges }) })),
  });
