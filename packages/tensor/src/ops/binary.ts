import { defineOp, type Op, type Sample } from '../define-op.ts';
import type { DType } from '../dtype.ts';
import type { Tensor } from '../graph.ts';
import { broadcastShapes, sizeOf } from '../shape.ts';
import { accepts, agree } from './accepts.ts';
import { broadcastIndex } from './strided-index.ts';
import { unbroadcast } from './unbroadcast.ts';
import { wrap } from './wrap.ts';

/** An op of two inputs, applied to each pair of elements under numpy's broadcasting. */
export type Binary<Name extends string> = Op<Name, readonly ['a', 'b']>;

interface BinaryRecord<Name extends string> {
  readonly name: Name;
  readonly value: (a: number, b: number) => number;
  /** For integers, where `value` is not it; the result is wrapped to 32 bits. */
  readonly integer?: (a: number, b: number) => number;
  /** Gradients of the common shape; summed back to each input's own. */
  readonly vjp:
    | 'none'
    | ((t: { readonly a: Tensor; readonly b: Tensor; readonly out: Tensor; readonly dy: Tensor }) => {
        readonly a: Tensor;
        readonly b: Tensor;
      });
  /** Default f32 alone. */
  readonly dtypes?: readonly DType[];
  /** Dtype of the result. Default: the inputs'. */
  readonly out?: DType;
  readonly ranges?: { readonly a?: readonly [number, number]; readonly b?: readonly [number, number] };
  readonly values?: { readonly a: (index: number) => number; readonly b: (index: number) => number };
  readonly flops?: number;
}

const pairs: readonly Sample<'a' | 'b', void>['shapes'][] = [
  { a: [3, 257], b: [3, 257] },
  { a: [3, 1, 5], b: [4, 1] },
  { a: [2, 3, 4], b: [] },
  { a: [4], b: [2, 3, 4] },
  { a: [0, 4], b: [4] },
];

const integerSample = (dtype: DType): Sample<'a' | 'b', void> => {
  const range = [dtype === 'u32' ? 0 : -9, 10] as const;
  return { shapes: { a: [3, 1], b: [4] }, dtypes: { a: dtype, b: dtype }, ranges: { a: range, b: range } };
};

/** Every dtype in which WGSL and the CPU compute exactly alike. */
export const numbers: readonly DType[] = ['f32', 'i32', 'u32'];

/** Builds the record of an elementwise op of two inputs of one dtype. */
export const binary = <Name extends string>(record: BinaryRecord<Name>): Binary<Name> => {
  const { name, value, integer = value, vjp, dtypes = ['f32'], out: result, ranges, values, flops = 1 } = record;
  const called = name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return defineOp<Name, readonly ['a', 'b']>({
    name,
    inputs: ['a', 'b'],
    infer: ({ a, b }) => {
      agree(called, a, b);
      accepts(called, 'a', a, dtypes);
      return { shape: broadcastShapes(called, [a, b]), dtype: result ?? a.dtype };
    },
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
      const f = specs.a.dtype === 'f32' ? value : integer;
      return Float64Array.from({ length: sizeOf(specs.out.shape) }, (_, i) =>
        wrap(specs.out.dtype, f(a[at(i)]!, b[bt(i)]!)),
      );
    },
    flops: ({ out }) => flops * sizeOf(out.shape),
    samples: [
      ...pairs.map((shapes) => ({ shapes, ...(ranges && { ranges }), ...(values && { values }) })),
      ...dtypes.filter((d) => d !== 'f32').map(integerSample),
    ],
  });
};
