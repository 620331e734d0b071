import { defineMethod, familyTarget, type MethodFactory, targets } from '@peftjs/core';
import { type LoraOptions, loraOptions } from '../low-rank.ts';
import { attachLora, withFrozenA } from './attach-lora.ts';
import { filesOfLora } from './files.ts';

/**
 * L-LoRA: `lora` linearised in its own parameters around their first values, so that tasks that were trained from the same ones add up: a layer computes f(θ₀) + J(θ₀)·(θ − θ₀), f LoRA's function of θ = (A, B). At B₀ = 0 that is
 * y = Wx + (alpha/r)·B·A₀·dropout(x): what A changes is multiplied by B₀, so A stays as it was drawn and B [out, rank] alone is trained. ΔW is linear in B, hence task arithmetic on adapters of one `seed` is exact:
 * `averageAdapters([a, b], { weights: [λ, λ], normalize: false, executor })` has ΔW = λ·(ΔW_a + ΔW_b), of one adapter's size. The function and its files are LoRA's, with a mark beside. For linear layers alone. Merges.
 * Throws as `lora`.
 * Tang et al., 2023. https://arxiv.org/abs/2310.04742. As the authors' code has it, https://github.com/tanganke/peta, which linearises each LoRA module by itself
 * (`peta/models/LinearizedModel.py`).
 */
export const lLora: MethodFactory<LoraOptions> = defineMethod<LoraOptions>({
  name: 'lLora',
  formula: {
    merges: true,
    options: { ...loraOptions, target: targets('target_modules', familyTarget('lora')) },
    attach: (model, scope, options) => attachLora('lLora', model, withFrozenA(scope), options).patch,
  },
  files: filesOfLora('l_lora', { l_lora: true }),
  card: {
    about: 'low-rank updates, linearised around their first values',
    paper: {
      authors: 'Tang et al.',
      year: 2023,
      title: 'Parameter Efficient Multi-task Model Fusion with Partial Linearization',
      url: 'https://arxiv.org/abs/2310.04742',
    },
    learningRate: 1e-5,
    narrowRate: 3.2e-2,
  },
});
