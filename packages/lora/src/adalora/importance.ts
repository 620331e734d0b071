import { type Scope, type TrainedStep, zeros } from '@peftjs/core';
import { abs, add, less, mean, mul, reshape, select, sub, type Tensor, type Variable } from '@peftjs/tensor';
import type { Triplets } from './triplets.ts';

/** Constants of the statistics. */
export interface ImportanceOptions {
  readonly beta1: number;
  readonly beta2: number;
  /** Steps that count; later ones leave all as it is. */
  readonly until: number;
}

/** The statistics that training keeps of a layer's triplets. */
export interface Importance {
  /** [rank] */
  readonly scores: Variable;
  /** [rank, 1]: 0 holds the E of a triplet at zero. */
  readonly mask: Variable;
}

/** The variables that training keeps of a layer. */
export const importanceOf = ({ scope, rank }: Triplets): Importance => ({
  scores: scope.running('importance', [rank], zeros),
  mask: scope.running('mask', [rank, 1], (shape) => new Float32Array(shape[0]!).fill(1)),
});

type Updates = readonly (readonly [Variable, Tensor])[];

const average = (old: Tensor, now: Tensor, beta: number): Tensor => add(mul(old, beta), mul(now, 1 - beta));

/** New averages of one parameter, and each of its values' score: s·u of I = |θ·∂θ|, s ← β₁s + (1−β₁)I, u ← β₂u + (1−β₂)|I − s|. */
const scored = (
  param: Variable,
  name: string,
  { scope }: Triplets,
  { gradient, updated }: TrainedStep,
  { beta1, beta2 }: ImportanceOptions,
  counts: Tensor,
): { readonly score: Tensor; readonly updates: Updates } => {
  const s = scope.running(`${name}.sensitivity`, param.shape, zeros);
  const u = scope.running(`${name}.uncertainty`, param.shape, zeros);
  const importance = abs(mul(updated(param), gradient(param)));
  const smoothed = average(s, importance, beta1);
  const spread = average(u, abs(sub(importance, smoothed)), beta2);
  const [s2, u2] = [select(counts, smoothed, s), select(counts, spread, u)];
  return {
    score: mul(s2, u2),
    updates: [
      [s, s2],
      [u, u2],
    ],
  };
};

/**
 * Updates of one step: importance of each triplet, the score of its E plus the mean scores of its row of A and its column of B; and E held
 * at zero where the mask says so. Parameters count after the optimiser's step, as in Hugging Face PEFT. Zhang et al., 2023.
 */
export const gatherImportance = (
  layers: readonly Triplets[],
  scope: Scope,
  step: TrainedStep,
  options: ImportanceOptions,
): Updates => {
  const done = scope.running('steps', [1], zeros);
  const counts = less(done, options.until);
  const perLayer = layers.flatMap((layer): Updates => {
    const { scores, mask } = importanceOf(layer);
    const [a, b, e] = [
      scored(layer.a, 'lora_A', layer, step, options, counts),
      scored(layer.b, 'lora_B', layer, step, options, counts),
      scored(layer.e, 'lora_E', layer, step, options, counts),
    ];
    const sum = add(mean(a.score, { axes: [1] }), mean(b.score, { axes: [0] }));
    return [
      ...[a, b, e].flatMap(({ updates }) => updates),
      [scores, add(reshape(e.score, [layer.rank]), sum)],
      [layer.e, mul(step.updated(layer.e), mask)],
    ];
  });
  return [[done, add(done, 1)], ...perLayer];
};
