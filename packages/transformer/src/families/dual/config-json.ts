import { activationNames } from '../../activation.ts';
import type { DualConfig, SideConfig } from './config.ts';
import type { DualRecord } from './record.ts';

const sideJson = (modelType: string, c: SideConfig): Readonly<Record<string, unknown>> => ({
  model_type: modelType,
  hidden_size: c.hiddenSize,
  intermediate_size: c.intermediateSize,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  hidden_act: activationNames[c.activation],
  layer_norm_eps: c.normEps,
});

/** The `config.json` of texts beside pictures, as Hugging Face's transformers reads it. */
export const dualConfigJson = (record: DualRecord, c: DualConfig): Readonly<Record<string, unknown>> => ({
  model_type: c.modelType,
  ...record.configJson(c),
  text_config: {
    ...sideJson(`${c.modelType}_text_model`, c.text),
    ...record.sideJson(c, 'text'),
    vocab_size: c.vocabSize,
    max_position_embeddings: c.maxPositions,
    ...(record.head.endsTexts && { bos_token_id: c.bosId, eos_token_id: c.eosIds[0] }),
    pad_token_id: c.padId,
  },
  vision_config: {
    ...sideJson(`${c.modelType}_vision_model`, c.vision),
    ...record.sideJson(c, 'vision'),
    num_channels: c.vision.picture[0],
    image_size: c.vision.picture[1],
    patch_size: c.vision.patch,
  },
});
