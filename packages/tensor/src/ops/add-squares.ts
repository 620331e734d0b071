import { defineOp, type Op } from '../define-op.ts';
import { type Spec, shapeError, sizeOf } from '../shape.ts';
import { expectF32 } from './expect.ts';
import { mul } from './mul.ts';

/**
 * total + Σ x², one number: a chain of them is the squared norm of many tensors, and runs as one on WebGPU however many there are.
 * total is a scalar, x of any shape. Throws `bad-shape`, `bad-dtype`.
 */
export const addSquares: Op<'add_squares', readonly ['total', 'x']> = defineOp({
  name: 'add_squares',
  inputs: ['total', 'x'],
  infer: ({ total, x }): Spec => {
    expectF32('addSquares', { total, x });
    if (total.shape.length > 0) throw shapeError('addSquares', [total, x], 'total must be a scalar');
    return { shape: [], dtype: 'f32' };
  },
  vjp: ({ x, dy }) => ({ total: dy, x: mul(mul(x, 2), dy) }),
  reference: ({ total, x }) => Float64Array.of(x.reduce((s, v) => s + v * v, total[0]!)),
  flops: ({ x }) => 2 * sizeOf(x.shape),
  samples: [[], [3, 257], [5, 4099], [0, 4]].map((x) => ({ shapes: { total: [], x } })),
});
