import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { expertsBy } from './decoder/experts.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';

/** The rotary embedding of a config that says nothing of it. */
const rope = {
  rope_type: 'yarn',
  factor: 32,
  beta_fast: 32,
  beta_slow: 1,
  truncate: false,
  original_max_position_embeddings: 4096,
};

/**
 * gpt-oss: experts with biases and a bounded gate in place of the MLP, a sink for each head of attention, and a window in every other layer. Experts
 * that are packed as MXFP4, as OpenAI publishes them, want the reader `mxfp4` of `@peftjs/quant`. PEFT has no default targets for it. OpenAI, 2025. https://arxiv.org/abs/2508.10925; transformers,
 * `modeling_gpt_oss.py`.
 */
export const gptOss: Family<DecoderConfig> = decoder({
  modelType: 'gpt_oss',
  stem: 'GptOss',
  tags: 'score',
  defaults: {
    vocab_size: 201_088,
    hidden_size: 2880,
    intermediate_size: 2880,
    num_hidden_layers: 36,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    head_dim: 64,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-5,
    rope_theta: 150_000,
    attention_bias: true,
  },
  activations: ['silu'],
  fields: {
    slidingWindow: 128,
    layerTypes: null,
    numLocalExperts: 128,
    numExpertsPerTok: 4,
    swigluAlpha: 1.702,
    swigluLimit: 7,
    outputRouterLogits: false,
    routerAuxLossCoef: 0.001,
  },
  names: { router: 'router' },
  transposed: /\.experts\.(gate_up|down)_proj$/,
  words: {
    // transformers takes either name.
    names: ['num_experts'],
    read: ({ num_experts: other, num_local_experts: count = other, ...json }) => ({
      ...json,
      ...(json['rope_scaling'] == null && json['rope_parameters'] == null && { rope_scaling: rope }),
      num_local_experts: count,
    }),
  },
  traits: (config) => {
    const { intermediateSize, attentionBias, fields = {} } = config;
    const { numLocalExperts: count = 0, numExpertsPerTok = 4, swigluAlpha = 1.702, swigluLimit = 7 } = fields;
    return {
      biases: { qkv: attentionBias, out: attentionBias, mlp: false },
      sinks: true,
      window: layerWindow(config, (layer) => layer % 2 === 0),
      experts: expertsBy(fields, {
        count,
        perToken: numExpertsPerTok,
        width: intermediateSize,
        biased: true,
        bounds: { slope: swigluAlpha, limit: swigluLimit },
      }),
    };
  },
  targets: {},
});
