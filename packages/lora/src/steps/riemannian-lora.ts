import { defineMethod, type GradientTransform, type MethodFactory, positive } from '@peftjs/core';
import { matmul, type Variable } from '@peftjs/tensor';
import { type LoraOptions, type LowRank, loraOptions } from '../low-rank.ts';
import { attachLora } from './attach-lora.ts';
import { filesOfLora } from './files.ts';
import { inverses } from './inverses.ts';

/** Options of `riemannianLora`. */
export interface RiemannianLoraOptions extends LoraOptions {
  /** The number that is added to the diagonals before they are inverted. Default 0.01. */
  readonly damping?: number;
}

/** ∂A ← (BᵀB + damping·I)⁻¹·∂A, ∂B ← ∂B·(AAᵀ + damping·I)⁻¹. */
const preconditioned = (pairs: ReadonlyMap<Variable, LowRank>, damping: number): GradientTransform => ({
  name: 'riemannian',
  update: ({ values, ...more }) => {
    const own = [...pairs.values()].filter(({ a, b }) => values.has(a) && values.has(b));
    const found = inverses(
      own.flatMap(({ a, b }) => [matmul(b, b, { transposeA: true }), matmul(a, a, { transposeB: true })]),
      damping,
    );
    const changed = own.flatMap(
      ({ a, b }, i) =>
        [
          [a, matmul(found[2 * i]!, values.get(a)!)],
          [b, matmul(values.get(b)!, found[2 * i + 1]!)],
        ] as const,
    );
    return { ...more, values: new Map([...values, ...changed]), state: [] };
  },
});

/**
 * Riemannian preconditioned LoRA: `lora`, whose gradients are ∂A ← (BᵀB + d·I)⁻¹·∂A and ∂B ← ∂B·(AAᵀ + d·I)⁻¹ before the optimiser has them, d the
 * `damping`, so that a step does not depend on how large A and B each are. Embeddings are stepped as in `lora`. The inverses, [rank, rank], of all layers are
 * found together, by 20 steps of Newton's. The function, its first values and its files are LoRA's, with the damping beside. Merges. Throws as `lora`.
 * Zhang & Pilanci, 2024. https://arxiv.org/abs/2402.02347. As Hugging Face PEFT's `optimizers/riemannian.py` has it.
 */
export const riemannianLora: MethodFactory<RiemannianLoraOptions> = defineMethod<RiemannianLoraOptions>({
  name: 'riemannianLora',
  formula: {
    merges: true,
    options: { ...loraOptions, damping: positive('riemannian_reg', 1e-2) },
    attach: (model, scope, options) => {
      const { patch, pairs } = attachLora('riemannianLora', model, scope, options);
      return { ...patch, transform: preconditioned(pairs, options.damping) };
    },
  },
  files: filesOfLora('riemannian_reg'),
  card: {
    about: 'low-rank updates, each factor stepped by the measure of the other',
    paper: {
      authors: 'Zhang & Pilanci',
      year: 2024,
      title: 'Riemannian Preconditioned LoRA for Fine-Tuning Foundation Models',
      url: 'https://arxiv.org/abs/2402.02347',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
