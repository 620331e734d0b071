import { defineOp, type Op, type Sample } from '../define-op.ts';
import type { DType } from '../dtype.ts';
import type { Tensor } from '../graph.ts';
import { sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { wrap } from './wrap.ts';

/** An op of one input, applied to each element. */
export type Unary<Name extends string> = Op<Name, readonly ['x']>;

interface UnaryRecord<Name extends string> {
  readonly name: Name;
  readonly value: (x: number) => number;
  readonly vjp: 'none' | ((t: { readonly x: Tensor; readonly out: Tensor; readonly dy: Tensor }) => Tensor);
  /** Default f32 alone. */
  readonly dtypes?: readonly DType[];
  readonly range?: readonly [number, number];
  readonly values?: (index: number) => number;
  readonly flops?: number;
}

const shapes = [[1], [3, 257], [0, 4], []];

/** Values of both signs that stay 0.1 away from zero, where some functions have a kink or a jump. */
export const awayFromZero = (i: number): number => (i % 2 === 0 ? 1 : -1) * (0.1 + ((i * 7) % 13) / 10);

/** Builds the record of an elementwise op of one input; the dtype stays. */
export const unary = <Name extends string>({
  name,
  value,
  vjp,
  dtypes = ['f32'],
  range,
  values,
  flops = 1,
}: UnaryRecord<Name>): Unary<Name> =>
  defineOp<Name, readonly ['x']>({
    name,
    inputs: ['x'],
    infer: ({ x }) => {
      accepts(name, 'x', x, dtypes);
      return { shape: x.shape, dtype: x.dtype };
    },
    vjp: vjp === 'none' ? 'none' : (t) => ({ x: vjp(t) }),
    reference: ({ x }, { out }) => x.map((v) => wrap(out.dtype, value(v))),
    flops: ({ out }) => flops * sizeOf(out.shape),
    samples: [
      ...shapes.map(
        (x): Sample<'x', void> => ({
          shapes: { x },
          ...(range && { ranges: { x: range } }),
          ...(values && { values: { x: values } }),
        }),
      ),
      ...dtypes
        .filter((d) => d !== 'f32')
        .map(
          (x): Sample<'x', void> => ({ shapes: { x: [7] }, dtypes: { x }, ranges: { x: [x === 'u32' ? 0 : -9, 10] } }),
        ),
    ],
  });
