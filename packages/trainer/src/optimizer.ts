import {
  adamw as adamwOp,
  add,
  addSquares,
  concat,
  constant,
  div,
  isFinite,
  minimum,
  mul,
  PeftError,
  reshape,
  select,
  sizeOf,
  sqrt,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';

/** Constants of AdamW. */
export interface AdamWOptions {
  /** Decay of the gradient's moving average. Default 0.9. */
  readonly beta1?: number;
  /** Decay of its square's. Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly eps?: number;
  /** Decoupled decay of parameters with two or more axes, per unit of learning rate. Default 0. */
  readonly weightDecay?: number;
  /** Gradients are scaled down to this global L2 norm. Default 1; Infinity turns it off. */
  readonly clipNorm?: number;
}

/** An optimiser's part of a step program. */
export interface OptimizerStep {
  readonly updates: readonly (readonly [Variable, Tensor])[];
  /** Global L2 norm of the gradients before clipping. */
  readonly gradNorm: Tensor;
  /** 1, or 0 where the loss or that norm is not finite. The updates then leave every variable as it was. */
  readonly finite: Tensor;
}

/** An optimiser: how gradients become updates, and what a step must be fed. */
export interface Optimizer {
  /** Shape [7], fed at every step as `hyper`. */
  hyper(step: number, learningRate: number): Float32Array;
  step(params: readonly Variable[], grads: readonly Tensor[], hyper: Tensor, loss: Tensor): OptimizerStep;
  /** The variables it keeps between steps. */
  readonly state: readonly Variable[];
}

const zeros = (name: string, shape: readonly number[]): Variable =>
  variable(name, shape, () => new Float32Array(sizeOf(shape)));

/** √Σ‖g‖² over all gradients. */
export const globalNorm = (grads: readonly Tensor[]): Tensor =>
  sqrt(grads.reduce<Tensor>((total, g) => addSquares(total, g), constant(Float32Array.of(0), [])));

/**
 * AdamW: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − lr·(m̂/(√v̂ + ε) + λw), after g is clipped by global norm. Decay λ applies to
 * matrices only. A step whose loss or gradient is not finite changes nothing. Loshchilov & Hutter, 2017. https://arxiv.org/abs/1711.05101
 */
export const adamw = ({
  beta1 = 0.9,
  beta2 = 0.999,
  eps = 1e-8,
  weightDecay = 0,
  clipNorm = 1,
}: AdamWOptions = {}): Optimizer => {
  if (!(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1))
    throw new PeftError('bad-option', `adamw: betas must be in [0, 1), got ${beta1} and ${beta2}`);
  if (!(clipNorm > 0)) throw new PeftError('bad-option', `adamw: clipNorm must be positive, got ${clipNorm}`);
  const moments = new Map<Variable, readonly [Variable, Variable]>();
  const momentsOf = (p: Variable): readonly [Variable, Variable] => {
    const { name } = p.node;
    return moments.get(p) ?? moments.set(p, [zeros(`${name}.m`, p.shape), zeros(`${name}.v`, p.shape)]).get(p)!;
  };
  return {
    hyper: (step, learningRate) => {
      // The betas reach the device in f32; corrections made of the exact ones would be off by 1e-5 where 1 − β₂ is 1e-3.
      const correction = (beta: number): number => 1 - Math.fround(beta) ** (step + 1);
      return Float32Array.of(learningRate, beta1, beta2, eps, weightDecay, correction(beta1), correction(beta2));
    },
    step: (params, grads, hyper, loss) => {
      // Matrices first where only they decay: then their gradients, and all gradients, can lie end to end for one kernel each.
      const order =
        weightDecay > 0 ? [...grads].sort((a, b) => Number(b.shape.length > 1) - Number(a.shape.length > 1)) : grads;
      const gradNorm = globalNorm(order);
      const finite = mul(isFinite(gradNorm), isFinite(loss));
      // A scale of 0 skips the step, whatever the gradients are.
      const scale = Number.isFinite(clipNorm)
        ? select(finite, minimum(div(clipNorm, add(gradNorm, 1e-6)), 1), 0)
        : finite;
      const all = concat(hyper, reshape(scale, [1]), { axis: 0 });
      const plain = mul(all, constant(Float32Array.of(1, 1, 1, 1, 0, 1, 1, 1), [8]));
      const updates = params.flatMap((p, i) => {
        const [m, v] = momentsOf(p);
        const [weight, m2, v2] = adamwOp(p, grads[i]!, m, v, weightDecay > 0 && p.shape.length < 2 ? plain : all);
        return [
          [p, weight!],
          [m, m2!],
          [v, v2!],
        ] as const;
      });
      return { updates, gradNorm, finite };
    },
    get state() {
      return [...moments.values()].flat();
    },
  };
};
