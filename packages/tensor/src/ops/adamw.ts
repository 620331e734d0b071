import { defineOp, type Op } from '../define-op.ts';
import { type Spec, sameShape, shapeError, sizeOf } from '../shape.ts';
import { expectF32 } from './expect.ts';

type Inputs = readonly ['weight', 'grad', 'm', 'v', 'hyper'];

const infer = (specs: { readonly [K in Inputs[number]]: Spec }): readonly [Spec, Spec, Spec] => {
  expectF32('adamw', specs);
  const { weight, grad, m, v, hyper } = specs;
  if (![grad, m, v].every((t) => sameShape(t.shape, weight.shape)))
    throw shapeError('adamw', [weight, grad, m, v], 'weight, grad, m and v must have one shape');
  if (!sameShape(hyper.shape, [8]))
    throw shapeError(
      'adamw',
      [hyper],
      'hyper must be [learningRate, beta1, beta2, eps, weightDecay, 1−beta1^t, 1−beta2^t, gradScale]',
    );
  return [weight, weight, weight];
};

/**
 * One step of AdamW over one tensor: g = grad·gradScale, m' = β₁m + (1−β₁)g, v' = β₂v + (1−β₂)g²,
 * w' = w − lr·(m̂ / (√v̂ + eps) + weightDecay·w) with m̂ = m'/(1−β₁ᵗ), v̂ = v'/(1−β₂ᵗ). Returns [w', m', v'].
 * hyper [8] = [learningRate, beta1, beta2, eps, weightDecay, 1−beta1^t, 1−beta2^t, gradScale]: data, so schedules don't compile again.
 * A gradScale of 0 skips the step: all three stay as they are, whatever the gradient, even where it is no number.
 * Loshchilov & Hutter, 2017. https://arxiv.org/abs/1711.05101. Throws `bad-shape`, `bad-dtype`.
 */
export const adamw: Op<'adamw', Inputs, readonly [], void, readonly [Spec, Spec, Spec]> = defineOp({
  name: 'adamw',
  inputs: ['weight', 'grad', 'm', 'v', 'hyper'],
  infer,
  vjp: 'none',
  reference: ({ weight, grad, m, v, hyper }) => {
    const [learningRate, beta1, beta2, eps, weightDecay, correction1, correction2, gradScale] = hyper;
    if (gradScale === 0) return [weight.slice(), m.slice(), v.slice()];
    const m1 = m.map((value, i) => beta1! * value + (1 - beta1!) * grad[i]! * gradScale!);
    const v1 = v.map((value, i) => beta2! * value + (1 - beta2!) * (grad[i]! * gradScale!) ** 2);
    const w1 = weight.map(
      (w, i) =>
        w - learningRate! * (m1[i]! / correction1! / (Math.sqrt(v1[i]! / correction2!) + eps!) + weightDecay! * w),
    );
    return [w1, m1, v1];
  },
  flops: ({ weight }) => 16 * sizeOf(weight.shape),
  samples: [[3, 67], [], [0, 4], null].map((shape) => {
    // The last is a step to skip.
    const [all, gradScale] = shape ? [shape, 0.7] : [[70], 0];
    return {
      shapes: { weight: all, grad: all, m: all, v: all, hyper: [8] },
      ranges: { v: [0.01, 1] as const },
      values: {
        hyper: (i: number) => [0.01, 0.9, 0.99, 1e-8, 0.1, 1 - 0.9 ** 3, 1 - 0.99 ** 3, gradScale][i]!,
        ...(!shape && { grad: (i: number) => (i % 2 === 0 ? Number.NaN : Number.POSITIVE_INFINITY) }),
      },
    };
  }),
});
