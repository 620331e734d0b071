import { defineOp, type Op } from '../define-op.ts';

/** The values of `x`, available only once `token` has been computed: orders recomputation after what frees memory. */
export const after: Op<'after', readonly ['x', 'token']> = defineOp({
  name: 'after',
  inputs: ['x', 'token'],
  infer: ({ x }) => ({ shape: x.shape, dtype: x.dtype }),
  vjp: ({ dy }) => ({ x: dy }),
  reference: ({ x }) => x,
  flops: () => 0,
  samples: [{ shapes: { x: [3, 4], token: [2] } }, { shapes: { x: [2], token: [] }, dtypes: { token: 'i32' } }],
});
