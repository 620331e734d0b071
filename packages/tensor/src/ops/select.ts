import { defineOp, type Op } from '../define-op.ts';
import { broadcastShapes, sizeOf } from '../shape.ts';
import { accepts, agree } from './accepts.ts';
import { numbers } from './binary.ts';
import { broadcastIndex } from './strided-index.ts';
import { unbroadcast } from './unbroadcast.ts';

const mask = (i: number): number => i % 2;

/** a where `cond` is not zero, else b; all three broadcast. Throws `bad-shape`, `bad-dtype`. */
export const select: Op<'select', readonly ['cond', 'a', 'b']> = defineOp({
  name: 'select',
  inputs: ['cond', 'a', 'b'],
  infer: ({ cond, a, b }) => {
    accepts('select', 'cond', cond, numbers);
    accepts('select', 'a', a, numbers);
    agree('select', a, b);
    return { shape: broadcastShapes('select', [cond, a, b]), dtype: a.dtype };
  },
  vjp: ({ cond, a, b, dy }) => ({
    a: unbroadcast(select(cond, dy, 0), a.shape),
    b: unbroadcast(select(cond, 0, dy), b.shape),
  }),
  reference: ({ cond, a, b }, specs) => {
    const { shape } = specs.out;
    const [ct, at, bt] = [specs.cond, specs.a, specs.b].map((s) => broadcastIndex(s.shape, shape)) as [
      (i: number) => number,
      (i: number) => number,
      (i: number) => number,
    ];
    return Float64Array.from({ length: sizeOf(shape) }, (_, i) => (cond[ct(i)] !== 0 ? a[at(i)]! : b[bt(i)]!));
  },
  flops: () => 0,
  samples: [
    { shapes: { cond: [3, 257], a: [3, 257], b: [3, 257] }, dtypes: { cond: 'i32' }, values: { cond: mask } },
    { shapes: { cond: [3, 1], a: [2, 1, 4], b: [] }, dtypes: { cond: 'u32' }, values: { cond: mask } },
    {
      shapes: { cond: [5], a: [5], b: [5] },
      dtypes: { cond: 'i32', a: 'u32', b: 'u32' },
      values: { cond: mask },
      ranges: { a: [0, 9], b: [0, 9] },
    },
    { shapes: { cond: [0], a: [1], b: [0] }, dtypes: { cond: 'i32' } },
  ],
});
