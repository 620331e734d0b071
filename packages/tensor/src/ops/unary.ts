import { defineOp, type Op, type Sample } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { elementwise } from '../kernel.ts';

/** An op of one input, applied to each element. */
export type Unary<Name extends string> = Op<Name, readonly ['x']>;

interface UnaryRecord<Name extends string> {
  readonly name: Name;
  /** WGSL expression of `x`. */
  readonly body: string;
  readonly value: (x: number) => number;
  readonly vjp: 'none' | ((t: { readonly x: Tensor; readonly out: Tensor; readonly dy: Tensor }) => Tensor);
  readonly range?: readonly [number, number];
  readonly flops?: number;
}

const shapes = [[1], [3, 257], [0, 4], []];

/** Builds the record of an elementwise op of one input; the dtype stays. */
export const unary = <Name extends string>({ name, body, value, vjp, range, flops = 1 }: UnaryRecord<Name>): Unary<Name> =>
  defineOp<Name, readonly ['x']>({
    name,
    inputs: ['x'],
    infer: ({ x }) => ({ shape: x.shape, dtype: x.dtype }),
    kernel: elementwise(body),
    vjp: vjp === 'none' ? 'none' : (t) => ({ x: vjp(t) }),
    reference: ({ x }) => x.map(value),
    flops: ({ out }) => flops * out.shape.reduce((n, d) => n * d, 1),
    samples: shapes.map((x): Sample<'x', void> => ({ shapes: { x }, ...(range && { ranges: { x: range } }) })),
  });
