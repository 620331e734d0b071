import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { unknownBeforeLlama } from './decoder/other-words.ts';
import { gptLayers } from './decoder/record.ts';
import type { Family } from './family.ts';

const hiddenSize = 768;
const [attnNorm, mlpNorm] = ['self_attn_layer_norm', 'final_layer_norm'];

/**
 * OPT: learned positions, of which tokens that the mask hides take none, LayerNorm before each half of a block or
 * after each sum, an MLP without a gate, and in OPT-350m embedded tokens that are narrower than the stream. Zhang et al., 2022.
 * https://arxiv.org/abs/2205.01068; transformers, `modeling_opt.py`.
 */
export const opt: Family<DecoderConfig> = decoder({
  modelType: 'opt',
  stem: 'OPT',
  answers: 'model.decoder',
  positions: 'learned',
  defaults: {
    vocab_size: 50_272,
    hidden_size: hiddenSize,
    ffn_dim: 3072,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    activation_function: 'relu',
    pad_token_id: 1,
    bos_token_id: 2,
    eos_token_id: 2,
    tie_word_embeddings: true,
  },
  fields: {
    doLayerNormBefore: true,
    removeFinalLayerNorm: false,
    enableBias: true,
    layerNormElementwiseAffine: true,
    wordEmbedProjDim: null,
  },
  names: {
    root: 'model.decoder',
    last: 'final_layer_norm',
    attnOut: 'out_proj',
    attnOrder: ['key', 'value', 'query', 'attnOut'],
    mlp: '',
    up: 'fc1',
    down: 'fc2',
  },
  activationField: 'activation_function',
  ownNames: { ffn_dim: 'intermediate_size', _remove_final_layer_norm: 'remove_final_layer_norm' },
  unread: unknownBeforeLlama,
  words: {
    // Its class has no field for the ε of its norms: it is torch's.
    read: ({ word_embed_proj_dim: width = null, ...json }) => ({
      ...json,
      word_embed_proj_dim: width === (json['hidden_size'] ?? hiddenSize) ? null : width,
      rms_norm_eps: 1e-5,
    }),
    write: ({ rms_norm_eps: _, ...json }, { fields, hiddenSize: d }) => ({
      ...json,
      word_embed_proj_dim: fields?.wordEmbedProjDim ?? d,
    }),
  },
  traits: ({ hiddenSize, fields }) => {
    const {
      doLayerNormBefore: first = true,
      enableBias: bias = true,
      removeFinalLayerNorm: isBare = false,
    } = fields ?? {};
    const half = (norm: string) => (first ? { before: norm, after: null } : { before: null, after: null, sum: norm });
    return {
      ...gptLayers(bias),
      tokenWidth: fields?.wordEmbedProjDim ?? hiddenSize,
      lastNorm: first && !isBare,
      norms: { attn: half(attnNorm), mlp: half(mlpNorm) },
    };
  },
  targets: {
    lora: ['q_proj', 'v_proj'],
    vblora: ['q_proj', 'k_proj', 'v_proj', 'out_proj', 'fc1', 'fc2'],
    ia3: ['q_proj', 'k_proj', 'fc2'],
    ia3Feedforward: ['fc2'],
    beft: ['v_proj'],
  },
});
