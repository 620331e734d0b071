import type { Spectrum } from './spectrum.ts';

/**
 * The precision of one matrix θ [out, in] of a LoRA, by Kronecker factors: (Σ λᵢ·uᵢuᵢᵀ) ⊗ (Σ μⱼ·vⱼvⱼᵀ) + δ·I, u directions of its inputs, v of its outputs'
 * gradients. Across the directions that were not kept it is δ·I.
 */
export interface LaplaceBlock {
  /** Of the mean of xxᵀ over the rows of all examples. */
  readonly inputs: Spectrum;
  /** Of the sum of ggᵀ. */
  readonly outputs: Spectrum;
}

/** A normal distribution of the factors A and B of a LoRA around their trained values. */
export interface LaplacePosterior {
  /** By the name of A or B of a layer. */
  readonly blocks: ReadonlyMap<string, LaplaceBlock>;
  /** δ of the prior N(0, I/δ) of every entry. */
  readonly priorPrecision: number;
  /** The logarithm of the marginal likelihood at that δ, in nats. */
  readonly logEvidence: number;
  /** γ = Σ λμ / (λμ + δ): how many of the entries the examples determine. */
  readonly effectiveParameters: number;
  /** Σ log p(label) of the examples with the trained values, in nats. */
  readonly logLikelihood: number;
  /** ‖θ‖² of all entries. */
  readonly squaredNorm: number;
  /** Ids of the tokens that a language model decides between; null for a classifier. */
  readonly classes: readonly number[] | null;
}

/** The parts of a posterior that do not depend on the prior. */
export type Curvature = Pick<LaplacePosterior, 'blocks' | 'logLikelihood' | 'squaredNorm'>;

/** Σ over the eigenvalues λμ of all blocks. */
export const overEigenvalues = (blocks: LaplacePosterior['blocks'], of: (eigenvalue: number) => number): number => {
  let sum = 0;
  for (const { inputs, outputs } of blocks.values())
    for (const mu of outputs.values) for (const lambda of inputs.values) sum += of(lambda * mu);
  return sum;
};

/** γ at a prior. */
export const effectiveAt = ({ blocks }: Pick<Curvature, 'blocks'>, priorPrecision: number): number =>
  overEigenvalues(blocks, (v) => v / (v + priorPrecision));
