import type { DualConfig } from './dual/config.ts';
import { dualFamily } from './dual/family.ts';
import { pooledHead } from './dual/pooled-head.ts';
import type { Family } from './family.ts';

const sizes = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  hidden_act: 'gelu_pytorch_tanh',
  layer_norm_eps: 1e-6,
};

/**
 * SigLIP: texts and pictures in one space, where each pair is decided alone. Its texts are filled up to all the tokens of pretraining, as the last one's row
 * stands for the text. Zhai et al., 2023. https://arxiv.org/abs/2303.15343
 */
export const siglip: Family<DualConfig> = dualFamily({
  modelType: 'siglip',
  stem: 'Siglip',
  attends: 'all',
  classRow: false,
  classifies: 'normed',
  head: pooledHead,
  configJson: () => ({}),
  // The activation's own name of two that it has.
  sideJson: (config, side) => ({
    ...(config[side].activation === 'gelu-tanh' && { hidden_act: 'gelu_pytorch_tanh' }),
    ...(side === 'text' && { projection_size: config.projection }),
  }),
  defaults: {
    text: { ...sizes, vocab_size: 32000, max_position_embeddings: 64, pad_token_id: 1 },
    vision: { ...sizes, num_channels: 3, image_size: 224, patch_size: 16 },
  },
});
