import { defineOp, type Op } from '../define-op.ts';

/** The same values, through which no gradient flows. */
export const stopGradient: Op<'stop_gradient', readonly ['x']> = defineOp({
  name: 'stop_gradient',
  inputs: ['x'],
  infer: ({ x }) => ({ shape: x.shape, dtype: x.dtype }),
  vjp: 'none',
  reference: ({ x }) => x,
  flops: () => 0,
  samples: [{ shapes: { x: [3, 4] } }, { shapes: { x: [] } }],
});
