import { eachParam, type GradientTransform, type ParamStep } from '@peftjs/core';
import {
  add,
  checkOptions,
  div,
  matmul,
  mul,
  mustBe,
  neg,
  type Rules,
  sqrt,
  sub,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';

/** Constants of GaLore. */
export interface GaloreOptions {
  /** Rank of the projected gradients, at most the shorter side of the matrix. Default 128. */
  readonly rank?: number;
  /** Steps between two looks for a basis. Default 200. */
  readonly every?: number;
  /** Factor α of projected steps. Default 0.25. */
  readonly scale?: number;
  /** Which matrices are projected: embeddings and heads are better left out. Default: all. */
  readonly matrices?: (param: Variable) => boolean;
  /** Decay of the gradient's moving average. Default 0.9. */
  readonly beta1?: number;
  /** Decay of its square's. Default 0.999. */
  readonly beta2?: number;
  /** Added to the root of the second moment, before that is corrected. Default 1e-6. */
  readonly eps?: number;
  /** Decoupled decay of parameters with two or more axes, unless their hints say otherwise, per unit of learning rate. Default 0. */
  readonly weightDecay?: number;
}

const rules: Rules<GaloreOptions> = {
  rank: mustBe.count,
  every: mustBe.count,
  scale: mustBe.positive,
  matrices: mustBe.fn,
  beta1: mustBe.rate,
  beta2: mustBe.rate,
  eps: mustBe.positive,
  weightDecay: mustBe.notNegative,
};

/** A gradient in a basis of the shorter side of its matrix, and the way back. */
interface Projected {
  readonly low: Tensor;
  back(step: Tensor): Tensor;
}

/** R = G·Qᵀ of a tall matrix, Qᵀ's other way round of a wide one: Q [rank, short] are the leading singular vectors of a gradient now and then. */
const projectedBy = (g: Tensor, { found }: ParamStep, rank: number, every: number): Projected => {
  const shape = g.shape as readonly [number, number];
  const short = Math.min(...shape);
  const basis = found('basis', [Math.min(rank, short), short], {
    of: g,
    due: (step) => step % every === 0,
    find: async (values) => {
      const { leadingVectors } = await import('./leading-vectors.ts'); // with ml-matrix, which few need
      return leadingVectors(values, shape, rank);
    },
  });
  return shape[0] >= shape[1]
    ? { low: matmul(g, basis, { transposeB: true }), back: (step) => matmul(step, basis) }
    : { low: matmul(basis, g), back: (step) => matmul(basis, step, { transposeA: true }) };
};

/**
 * GaLore: AdamW whose moments of a matrix are kept in a subspace of rank r. Every `every` steps, beginning with the first, the gradient's singular value decomposition gives Q [r, short side], and a
 * gradient G [out, in] is projected to R = G·Qᵀ where out ≥ in, else R = Q·G. Moments m and v are those of R, N = m/(√v + ε) goes back, and W ← (W − lr·c·α·N·Q)·(1 − lr·λ), c = √(1 − β₂ᵗ)/(1 − β₁ᵗ). Moments stay as
 * they are where Q changes. All other tensors are stepped likewise, without Q and α. Steps that look for a basis compute the gradient twice and wait for the host; a matrix with sides above 256 is decomposed
 * to 1e-10 of its squares. Throws `bad-option`.
 * Zhao, Zhang, Chen, Wang, Anandkumar & Tian, 2024. https://arxiv.org/abs/2403.03507. As `GaLoreAdamW` with `proj_type: 'std'` of https://github.com/jiaweizzhao/GaLore, whose basis has the signs that its
 * library chooses.
 */
export const galore = (options: GaloreOptions = {}): GradientTransform => {
  checkOptions('galore', rules, options);
  const { rank = 128, every = 200, scale = 0.25, matrices = () => true } = options;
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-6, weightDecay = 0 } = options;
  return eachParam('galore', (g, step) => {
    const { param, rate, decays, state, feed } = step;
    const projected = param.shape.length === 2 && matrices(param) ? projectedBy(g, step, rank, every) : null;
    const low = projected?.low ?? g;
    const [m, v] = [state('m', low.shape), state('v', low.shape)];
    const mean = add(mul(m, beta1), mul(low, 1 - beta1));
    const square = add(mul(v, beta2), mul(mul(low, low), 1 - beta2));
    const corrected = feed('corrected', [], (at) =>
      Float32Array.of(Math.sqrt(1 - beta2 ** (at + 1)) / (1 - beta1 ** (at + 1))),
    );
    const size = neg(mul(rate, corrected));
    const normed = div(mean, add(sqrt(square), eps));
    const moved = projected ? mul(projected.back(normed), mul(size, scale)) : mul(normed, size);
    return {
      change: weightDecay > 0 && decays ? sub(moved, mul(add(param, moved), mul(rate, weightDecay))) : moved,
      state: [
        [m, mean],
        [v, square],
      ],
    };
  });
};
