import { defineMethod, familyTarget, type GradientTransform, type MethodFactory, targets } from '@peftjs/core';
import { matmul, mul, type Variable } from '@peftjs/tensor';
import { type LoraOptions, type LowRank, loraOptions } from '../low-rank.ts';
import { attachLora, withFrozenA } from './attach-lora.ts';
import { filesOfLora } from './files.ts';
import { inverses } from './inverses.ts';

/** ∂B ← ∂B·(AAᵀ + 1e-8·I)⁻¹/s², so that the step of ΔW = s·BA is the closest to that of W itself. */
const closest = (pairs: ReadonlyMap<Variable, LowRank>): GradientTransform => ({
  name: 'loraFa',
  update: ({ values, ...more }) => {
    const own = [...pairs.values()].filter(({ b }) => values.has(b));
    const found = inverses(
      own.map(({ a }) => matmul(a, a, { transposeB: true })),
      1e-8,
    );
    const changed = own.map(({ b, scale }, i) => [b, mul(matmul(values.get(b)!, found[i]!), scale ** -2)] as const);
    return { ...more, values: new Map([...values, ...changed]), state: [] };
  },
});

/**
 * LoRA-FA: `lora` with A frozen as it was drawn, so that only B [out, rank] is trained and no step needs the inputs of the layers, but
 * [rank] values of each. The gradient of B is ∂B·(AAᵀ + 1e-8·I)⁻¹/s² before the optimiser has it, with s = alpha/rank, so that the step of ΔW = s·BA is the
 * closest to the gradient of W that such a step can be. The inverses of all layers are found together, by 20 steps of Newton's. The function and
 * its files are LoRA's, with a mark beside. For linear layers alone. Merges. Throws as `lora`.
 * Zhang et al., 2023. https://arxiv.org/abs/2308.03303. The step is that of Hugging Face PEFT's `optimizers/lorafa.py`, which rounds the product to
 * bf16.
 */
export const loraFa: MethodFactory<LoraOptions> = defineMethod<LoraOptions>({
  name: 'loraFa',
  formula: {
    merges: true,
    options: { ...loraOptions, target: targets('target_modules', familyTarget('lora')) },
    attach: (model, scope, options) => {
      const { patch, pairs } = attachLora('loraFa', model, withFrozenA(scope), options);
      return { ...patch, transform: closest(pairs) };
    },
  },
  files: filesOfLora('lora_fa', { lora_fa: true }),
  card: {
    about: 'low-rank updates whose one factor stays as it was drawn',
    paper: {
      authors: 'Zhang et al.',
      year: 2023,
      title: 'LoRA-FA: Memory-efficient Low-rank Adaptation for Large Language Models Fine-tuning',
      url: 'https://arxiv.org/abs/2308.03303',
    },
    learningRate: 2e-4,
    narrowRate: 3.2e-2,
  },
});
