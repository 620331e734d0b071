import { eachParam, type GradientTransform, type ParamStep, type Updates } from '@peftjs/core';
import {
  add,
  checkOptions,
  div,
  maximum,
  mean,
  minimum,
  mul,
  mustBe,
  neg,
  rsqrt,
  sizeOf,
  slice,
  sub,
  type Tensor,
} from '@peftjs/tensor';
import { globalNorm } from './global-norm.ts';

/** Constants of Adafactor. */
export interface AdafactorOptions {
  /** The second moment forgets with 1 − t to this power, t counted from 1. Default −0.8. */
  readonly beta2Decay?: number;
  /** Least root of the second moment. Default 2⁻²³, the distance of 1 to the next f32. */
  readonly eps?: number;
  /** Least size of a parameter, as a root mean square, that its steps are scaled by. Default 1e-3. */
  readonly leastScale?: number;
  /** Largest root mean square of a step before it is scaled. Default 1. */
  readonly clipThreshold?: number;
  /** Decoupled decay of parameters with two or more axes, unless their hints say otherwise, per unit of learning rate. Default 0. */
  readonly weightDecay?: number;
}

/** Root mean square. */
const rms = (x: Tensor): Tensor => div(globalNorm([x]), Math.sqrt(sizeOf(x.shape)));

/** old + w·(now − old) */
const blend = (old: Tensor, now: Tensor, weight: Tensor): Tensor => add(old, mul(sub(now, old), weight));

/** The second moment of a gradient: of a matrix only its row and column means are kept. */
const secondMoment = (
  g: Tensor,
  { state }: ParamStep,
  weight: Tensor,
  eps: number,
): { readonly moment: Tensor; readonly kept: Updates } => {
  const square = mul(g, g);
  if (g.shape.length < 2) {
    const v = state('v');
    const moment = blend(v, square, weight);
    return { moment, kept: [[v, moment]] };
  }
  const [rows, columns] = ([-1, -2] as const).map((axis) => {
    const now = mean(square, { axes: [axis], keepDims: true });
    const before = state(axis === -1 ? 'row' : 'column', now.shape);
    return { before, now: blend(before, now, weight) };
  }) as [
    { before: ReturnType<ParamStep['state']>; now: Tensor },
    { before: ReturnType<ParamStep['state']>; now: Tensor },
  ];
  const total = maximum(mean(rows.now, { axes: [-2], keepDims: true }), eps);
  return {
    moment: div(mul(rows.now, columns.now), total),
    kept: [
      [rows.before, rows.now],
      [columns.before, columns.now],
    ],
  };
};

/**
 * Adafactor, as `torch.optim.Adafactor`: the second moment V of a matrix is kept as row and column means R and C, V = RC / mean(R), which
 * forget with t^−0.8; u = g/√V, scaled down to a root mean square of at most `clipThreshold`; w ← w − max(`leastScale`, rms(w)) · min(lr, 1/√t) ·
 * u − lr·λw. Shazeer & Stern, 2018. https://arxiv.org/abs/1804.04235. Throws `bad-option`.
 */
export const adafactor = (options: AdafactorOptions = {}): GradientTransform => {
  checkOptions(
    'adafactor',
    {
      beta2Decay: mustBe.such('a number of at most 0', (v) => Number.isFinite(v) && (v as number) <= 0),
      eps: mustBe.positive,
      leastScale: mustBe.notNegative,
      clipThreshold: mustBe.such('a number of at least 1', (v) => Number.isFinite(v) && (v as number) >= 1),
      weightDecay: mustBe.notNegative,
    },
    options,
  );
  const { beta2Decay = -0.8, eps = 2 ** -23, leastScale = 1e-3, clipThreshold = 1, weightDecay = 0 } = options;
  return eachParam('adafactor', (g, step) => {
    const { param, rate, decays, feed } = step;
    const numbers = feed('numbers', [2], (at) => Float32Array.of((at + 1) ** beta2Decay, 1 / Math.sqrt(at + 1)));
    const [weight, mostRate] = [0, 1].map((i) => slice(numbers, { axis: 0, start: i, end: i + 1 })) as [Tensor, Tensor];
    const { moment, kept } = secondMoment(g, step, weight, eps);
    const u = mul(g, rsqrt(maximum(moment, eps * eps)));
    const size = mul(maximum(rms(param), leastScale), minimum(rate, mostRate));
    const change = mul(u, neg(div(size, maximum(div(rms(u), clipThreshold), 1))));
    return {
      change: weightDecay > 0 && decays ? sub(change, mul(param, mul(rate, weightDecay))) : change,
      state: kept,
    };
  });
};
