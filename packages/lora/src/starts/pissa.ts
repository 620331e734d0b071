import type { MethodFactory } from '@peftjs/core';
import type { LoraOptions } from '../low-rank.ts';
import { principalLora } from './principal-lora.ts';

/**
 * PiSSA: y = (W − s·B₀A₀)x + s·B·A·dropout(x), s = alpha/r, where B and A begin as B₀ = U·diag(√(σ/s)) and A₀ = diag(√(σ/s))·Vᵀ with the r largest singular values σ of W: the model begins as it
 * was, and training moves its principal part. B₀ and A₀ are computed on the host in f64 when first used, weights longer than 256 on both sides by a randomised iteration, and held beside the base, which stays as it is and
 * may be of any format. Saved as an ordinary LoRA of rank 2r, s·(BA − B₀A₀), which any loader takes. Hugging Face PEFT's files of it are read as it reads them: B₀ and A₀ are found anew. Merges. Throws as `lora`, and
 * `bad-option` for ranks above a weight's.
 * Meng, Wang & Zhang, 2024. https://arxiv.org/abs/2404.02948
 */
export const pissa: MethodFactory<LoraOptions> = principalLora('pissa', {
  about: 'low-rank updates that begin with the largest singular values',
  paper: {
    authors: 'Meng, Wang & Zhang',
    year: 2024,
    title: 'PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language Models',
    url: 'https://arxiv.org/abs/2404.02948',
  },
  learningRate: 2e-5,
  narrowRate: 3.2e-3,
});
