import { activationNames } from '../../activation.ts';
import type { BeitParts, VitConfig } from './config.ts';
import type { VitRecord } from './record.ts';

const sizeJson = ([a, b]: readonly [number, number]): number | readonly number[] => (a === b ? a : [a, b]);

const beitJson = ({ positions, relative, scale, meanPooling }: BeitParts): Readonly<Record<string, unknown>> => ({
  use_absolute_position_embeddings: positions,
  use_relative_position_bias: relative === 'blocks',
  use_shared_relative_position_bias: relative === 'all',
  layer_scale_init_value: scale,
  use_mean_pooling: meanPooling,
});

/** The `config.json` of a transformer over patches, as Hugging Face's transformers reads it. */
export const vitConfigJson = ({ defaults }: VitRecord, c: VitConfig): Readonly<Record<string, unknown>> => ({
  model_type: c.modelType,
  hidden_size: c.hiddenSize,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  ...(Object.hasOwn(defaults, 'mlp_ratio')
    ? { mlp_ratio: c.intermediateSize / c.hiddenSize }
    : { intermediate_size: c.intermediateSize }),
  hidden_act: activationNames[c.activation],
  layer_norm_eps: c.normEps,
  image_size: sizeJson([c.picture[1], c.picture[2]]),
  patch_size: sizeJson(c.patch),
  num_channels: c.picture[0],
  ...(c.beit ? beitJson(c.beit) : { qkv_bias: c.qkvBias }),
});
