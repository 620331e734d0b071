import { defineMethod, type MethodFactory, positive } from '@peftjs/core';
import { type LoraOptions, loraOptions } from '../low-rank.ts';
import { attachLora, hinted } from './attach-lora.ts';
import { filesOfLora } from './files.ts';

/** Options of `loraPlus`. */
export interface LoraPlusOptions extends LoraOptions {
  /** The learning rate of B as a multiple of A's, which is that of the run. Default 16. */
  readonly ratio?: number;
  /** That of both factors of an embedding. Default 0.005: 1e-6 at a rate of 2e-4. */
  readonly embeddingRatio?: number;
}

/**
 * LoRA+: `lora`, whose B learns by `ratio` times the learning rate of A. B is zero at the start and A is not, so with one rate for both, features are
 * learned the slower the wider the model is. The function, its first values and its files are LoRA's, with the ratios beside. Biases and modules that are
 * trained beside have the run's own rate. Merges. Throws as `lora`.
 * Hayou, Ghosh & Yu, 2024. https://arxiv.org/abs/2402.12354. As Hugging Face PEFT's `optimizers/loraplus.py` has it, but that takes an absolute rate
 * for embeddings, and counts vectors (biases) as B.
 */
export const loraPlus: MethodFactory<LoraPlusOptions> = defineMethod<LoraPlusOptions>({
  name: 'loraPlus',
  formula: {
    merges: true,
    options: {
      ...loraOptions,
      ratio: positive('loraplus_lr_ratio', 16),
      embeddingRatio: positive('loraplus_lr_embedding_ratio', 0.005),
    },
    attach: (model, scope, options) => {
      const { ratio, embeddingRatio } = options;
      const rateOf = (name: string): number =>
        name.startsWith('lora_embedding_') ? embeddingRatio : name.startsWith('lora_B') ? ratio : 1;
      const faster = hinted(scope, (name) => ({ rate: rateOf(name) }));
      return attachLora('loraPlus', model, faster, options).patch;
    },
  },
  files: filesOfLora('loraplus_lr_ratio'),
  card: {
    about: 'low-rank updates, one factor at a higher learning rate',
    paper: {
      authors: 'Hayou et al.',
      year: 2024,
      title: 'LoRA+: Efficient Low Rank Adaptation of Large Models',
      url: 'https://arxiv.org/abs/2402.12354',
    },
    learningRate: 2e-4,
    narrowRate: 3.2e-3,
  },
});
