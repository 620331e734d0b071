import type { Adapted } from '@peftjs/core';
import { checkOptions, mustBe, type OnExecutor, onExecutor, type Rules } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import type { ComputedLora } from './lora-of.ts';

/** Intruder dimensions: which they are, and what becomes of them. */
export interface ReduceIntruderOptions extends OnExecutor {
  /** How many of the leading singular vectors of W + ΔW are looked at. Default 10. */
  readonly topK?: number;
  /** A vector whose |cosine| with every singular vector of W is below this is an intruder. Default 0.5. */
  readonly threshold?: number;
  /** λ, the factor that an intruder's singular value is multiplied by: 1 changes nothing, 0 takes all of it away. Default 0.75. */
  readonly lambda?: number;
}

/** A LoRA with less of its intruder dimensions. */
export interface ReducedLora<M extends Model> extends ComputedLora<M> {
  /** The number of intruders of each layer. */
  readonly intruders: ReadonlyMap<Path, number>;
}

const rules: Rules<ReduceIntruderOptions> = {
  ...onExecutor,
  topK: mustBe.count,
  threshold: mustBe.share,
  lambda: mustBe.share,
};

/**
 * A LoRA that forgets less of what the base knew. An intruder dimension is a leading left singular vector uᵢ of W + ΔW that is like none of
 * W's: maxⱼ |cos(uᵢ, uⱼ)| is below `threshold`. Its singular value σᵢ is reduced: ΔW' = ΔW + (λ − 1)·Σ σᵢ·uᵢ·vᵢᵀ, brought back to the
 * layer's rank by singular value decomposition; layers without intruders keep ΔW. Lower λ recovers more of the base and costs more of what was tuned.
 *
 * As Hugging Face PEFT's `reduce_intruder_dimension`, and right for embeddings too. `errors` says how far each layer is from ΔW' for want of rank.
 * W is decomposed whole on the host in f64: seconds for a side of 600. Throws `bad-option` for adapters that are no LoRA of layers alone.
 * Shuttleworth et al., 2024. https://arxiv.org/abs/2410.21228
 */
export const reduceIntruderDimension = async <M extends Model>(
  adapted: Adapted<M>,
  options: ReduceIntruderOptions,
): Promise<ReducedLora<M>> => {
  checkOptions('reduceIntruderDimension', rules, options);
  const { reduced } = await import('./intruders.ts'); // with ml-matrix, which nothing else needs
  return reduced(adapted, options);
};
