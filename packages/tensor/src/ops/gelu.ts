import { defineOp, type Op, type Sample } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { add } from './add.ts';
import { erf, erfOf } from './erf.ts';
import { exp } from './exp.ts';
import { mul } from './mul.ts';
import { sub } from './sub.ts';
import { tanh } from './tanh.ts';

/** Which of the two formulas in use. Default `'none'`, the exact one. */
export interface GeluAttrs {
  readonly approximate?: 'none' | 'tanh';
}

const scale = Math.sqrt(2 / Math.PI);
const cubic = 0.044715;

/** √(2/π)·(x + 0.044715·x³), the argument of tanh. */
const inner = (x: Tensor): Tensor => mul(mul(x, scale), add(1, mul(cubic, mul(x, x))));

const exactSlope = (x: Tensor): Tensor => {
  const cumulative = mul(0.5, add(1, erf(mul(x, Math.SQRT1_2))));
  const density = mul(1 / Math.sqrt(2 * Math.PI), exp(mul(-0.5, mul(x, x))));
  return add(cumulative, mul(x, density));
};

const tanhSlope = (x: Tensor): Tensor => {
  const t = tanh(inner(x));
  const slope = mul(scale, add(1, mul(3 * cubic, mul(x, x))));
  return mul(0.5, add(add(1, t), mul(mul(x, slope), sub(1, mul(t, t)))));
};

const shapes = [[1], [3, 257], [0, 4], []];

/**
 * x·Φ(x) with the normal distribution function Φ; with `approximate: 'tanh'`, 0.5·x·(1 + tanh(√(2/π)(x + 0.044715 x³))).
 * Hendrycks & Gimpel, 2016. https://arxiv.org/abs/1606.08415
 */
export const gelu: Op<'gelu', readonly ['x'], readonly [], GeluAttrs> = defineOp({
  name: 'gelu',
  inputs: ['x'],
  infer: ({ x }) => {
    accepts('gelu', 'x', x, ['f32']);
    return { shape: x.shape, dtype: x.dtype };
  },
  vjp: ({ x, dy }, { approximate }) => ({ x: mul(dy, approximate === 'tanh' ? tanhSlope(x) : exactSlope(x)) }),
  reference: ({ x }, _, { approximate }) =>
    x.map(
      (v) =>
        0.5 * v * (1 + (approximate === 'tanh' ? Math.tanh(scale * (v + cubic * v ** 3)) : erfOf(v * Math.SQRT1_2))),
    ),
  flops: ({ out }) => 20 * sizeOf(out.shape),
  samples: (['none', 'tanh'] as const).flatMap((approximate) =>
    shapes.map((x): Sample<'x', GeluAttrs> => ({ shapes: { x }, attrs: { approximate }, ranges: { x: [-4, 4] } })),
  ),
});
