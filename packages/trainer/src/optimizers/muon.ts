import { applied, eachParam, type Gradients, type GradientTransform } from '@peftjs/core';
import {
  add,
  checkOptions,
  div,
  matmul,
  maximum,
  mul,
  mustBe,
  neg,
  sub,
  type Tensor,
  transpose,
  type Variable,
} from '@peftjs/tensor';
import { adamw } from './adamw.ts';
import { globalNorm } from './global-norm.ts';

/** Constants of Muon. */
export interface MuonOptions {
  /** Decay of the gradient's moving average. Default 0.95. */
  readonly momentum?: number;
  /** Steps by the gradient where the momentum leads to. Default true. */
  readonly nesterov?: boolean;
  /** Decoupled decay of matrices, unless their hints say otherwise, per unit of learning rate. Default 0. */
  readonly weightDecay?: number;
  /** Iterations that bring the singular values to about 1. Default 5. */
  readonly iterations?: number;
  /**
   * Factor of a step of a matrix [out, in]: `original`, √max(1, out/in); `adamw`, 0.2·√max(out, in), for learning rates that were found with AdamW;
   * `spectral`, √(out/in). Default `original`.
   */
  readonly adjust?: 'original' | 'adamw' | 'spectral';
  /** The transform for parameters that are no matrices, and for those that `matrices` leaves out. Default `adamw()`. */
  readonly others?: GradientTransform;
  /** Which of the matrices: embeddings and heads are better left to `others`. Default: all. */
  readonly matrices?: (param: Variable) => boolean;
}

const adjustments: Readonly<Record<NonNullable<MuonOptions['adjust']>, (out: number, inner: number) => number>> = {
  original: (out, inner) => Math.sqrt(Math.max(1, out / inner)),
  adamw: (out, inner) => 0.2 * Math.sqrt(Math.max(out, inner)),
  spectral: (out, inner) => Math.sqrt(out / inner),
};

/** a·old + b·now, with b = 1 − a. */
const blend = (old: Tensor, now: Tensor, share: number): Tensor => add(old, mul(sub(now, old), share));

/**
 * A matrix with its singular values brought near 1: X ← aX + (bA + cA²)X with A = XXᵀ, after division by the norm. In f32, where
 * the reference rounds to bf16.
 */
const orthogonal = (g: Tensor, iterations: number): Tensor => {
  const tall = g.shape[0]! > g.shape[1]!;
  const turned = (t: Tensor): Tensor => (tall ? transpose(t, [1, 0]) : t);
  const [a, b, c] = [3.4445, -4.775, 2.0315];
  let x = turned(div(g, maximum(globalNorm([g]), 1e-7)));
  for (let i = 0; i < iterations; i++) {
    const gram = matmul(x, x, { transposeB: true });
    x = add(mul(x, a), matmul(add(mul(gram, b), mul(matmul(gram, gram), c)), x));
  }
  return turned(x);
};

const part = ({ values, scale }: Gradients, keeps: (param: Variable) => boolean): Gradients => ({
  values: new Map([...values].filter(([param]) => keeps(param))),
  ...(scale && { scale }),
});

/**
 * Muon, as `torch.optim.Muon`: m ← μm + (1−μ)g, u = μm + (1−μ)g after Nesterov, w ← w − lr·(f·NS(u) + λw), where NS brings all singular values
 * to about 1 by a quintic Newton–Schulz iteration and f is chosen by `adjust`. For matrices; `others` steps the rest. Jordan et al., 2024.
 * https://kellerjordan.github.io/posts/muon/. Throws `bad-option`.
 */
export const muon = (options: MuonOptions = {}): GradientTransform => {
  checkOptions(
    'muon',
    {
      momentum: mustBe.rate,
      nesterov: mustBe.flag,
      weightDecay: mustBe.notNegative,
      iterations: mustBe.count,
      adjust: mustBe.oneOf(Object.keys(adjustments)),
      others: mustBe.such('an optimiser', (v) => (v as GradientTransform | null)?.steps === true),
      matrices: mustBe.fn,
    },
    options,
  );
  const { momentum = 0.95, nesterov = true, weightDecay = 0, iterations = 5, adjust = 'original' } = options;
  const { others = adamw(), matrices = () => true } = options;
  const isOurs = (param: Variable): boolean => param.shape.length === 2 && matrices(param);
  const own = eachParam('muon', (g, { param, rate, decays, state }) => {
    const m = state('m');
    const now = blend(m, g, 1 - momentum);
    const step = orthogonal(nesterov ? blend(g, now, momentum) : now, iterations);
    const [out, inner] = param.shape as [number, number];
    const scaled = mul(step, adjustments[adjust](out, inner));
    const whole = weightDecay > 0 && decays ? add(scaled, mul(param, weightDecay)) : scaled;
    return { change: mul(neg(rate), whole), state: [[m, now]] };
  });
  return {
    name: '',
    steps: true,
    update: (gradients, step) => {
      const [ours, rest] = [
        applied(own, part(gradients, isOurs), step),
        applied(
          others,
          part(gradients, (param) => !isOurs(param)),
          step,
        ),
      ];
      return {
        values: new Map([...ours.values, ...rest.values]),
        next: new Map([...ours.next, ...rest.next]),
        state: [...ours.state, ...rest.state],
        ...(rest.resting && { resting: rest.resting }),
      };
    },
  };
};
