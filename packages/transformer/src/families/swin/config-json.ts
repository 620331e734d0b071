import { activationNames } from '../../activation.ts';
import type { SwinConfig } from './config.ts';

const sizeJson = ([a, b]: readonly [number, number]): number | readonly number[] => (a === b ? a : [a, b]);

/** The `config.json` of a Swin, as Hugging Face's transformers reads it. */
export const swinConfigJson = (c: SwinConfig): Readonly<Record<string, unknown>> => ({
  model_type: c.modelType,
  embed_dim: c.embedSize,
  depths: c.depths,
  num_heads: c.heads,
  window_size: c.window,
  mlp_ratio: c.mlpRatio,
  hidden_act: activationNames[c.activation],
  layer_norm_eps: c.normEps,
  image_size: sizeJson([c.picture[1], c.picture[2]]),
  patch_size: sizeJson(c.patch),
  num_channels: c.picture[0],
  qkv_bias: c.qkvBias,
  use_absolute_embeddings: c.positions,
});
