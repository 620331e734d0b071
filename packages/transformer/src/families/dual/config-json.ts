import { activationNames } from '../../activation.ts';
import type { DualConfig, SideConfig } from './config.ts';

const sideJson = (modelType: string, c: SideConfig, projection: number): Readonly<Record<string, unknown>> => ({
  model_type: modelType,
  hidden_size: c.hiddenSize,
  intermediate_size: c.intermediateSize,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  hidden_act: activationNames[c.activation],
  layer_norm_eps: c.normEps,
  projection_dim: projection,
});

/** The `config.json` of texts beside pictures, as Hugging Face's transformers reads it. */
export const dualConfigJson = (c: DualConfig): Readonly<Record<string, unknown>> => ({
  model_type: c.modelType,
  projection_dim: c.projection,
  logit_scale_init_value: c.firstScale,
  text_config: {
    ...sideJson(`${c.modelType}_text_model`, c.text, c.projection),
    vocab_size: c.vocabSize,
    max_position_embeddings: c.maxPositions,
    bos_token_id: c.bosId,
    eos_token_id: c.eosIds[0],
    pad_token_id: c.padId,
  },
  vision_config: {
    ...sideJson(`${c.modelType}_vision_model`, c.vision, c.projection),
    num_channels: c.vision.picture[0],
    image_size: c.vision.picture[1],
    patch_size: c.vision.patch,
  },
});
