import type { DualConfig } from './dual/config.ts';
import { dualFamily } from './dual/family.ts';
import { projectedHead } from './dual/projected-head.ts';
import type { Family } from './family.ts';

const sizes = { hidden_act: 'quick_gelu', layer_norm_eps: 1e-5, num_hidden_layers: 12 };

/** CLIP: texts and pictures in one space. Radford et al., 2021. https://arxiv.org/abs/2103.00020 */
export const clip: Family<DualConfig> = dualFamily({
  modelType: 'clip',
  stem: 'CLIP',
  attends: 'before',
  classRow: true,
  classifies: 'blocks',
  targets: {
    adapterHubProjections: ['q_proj', 'k_proj', 'v_proj'],
    adapterHubModules: ['attention_adapters', 'output_adapters'],
  },
  head: projectedHead,
  configJson: ({ projection, firstScale }) => ({ projection_dim: projection, logit_scale_init_value: firstScale }),
  sideJson: ({ projection }) => ({ projection_dim: projection }),
  defaults: {
    text: {
      ...sizes,
      vocab_size: 49408,
      hidden_size: 512,
      intermediate_size: 2048,
      num_attention_heads: 8,
      max_position_embeddings: 77,
      pad_token_id: 1,
      bos_token_id: 49406,
      eos_token_id: 49407,
    },
    vision: {
      ...sizes,
      hidden_size: 768,
      intermediate_size: 3072,
      num_attention_heads: 12,
      num_channels: 3,
      image_size: 224,
      patch_size: 32,
    },
  },
});
