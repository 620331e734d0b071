import { PeftError } from '@peftjs/tensor';
import { type Architecture, type Fields, type NumberField, type Rotary, readNumbers } from './architecture.ts';

type Json = Readonly<Record<string, unknown>>;

const decoderOutside = { 'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', lm_head: 'output' };

const decoderLayers = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

const queryKeyNorms = { 'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm' };

/** Those of all gated decoders. */
const decoderNumbers: readonly NumberField[] = [
  ['block_count', 'u32', 'num_hidden_layers'],
  ['context_length', 'u32', 'max_position_embeddings'],
  ['embedding_length', 'u32', 'hidden_size'],
  ['feed_forward_length', 'u32', 'intermediate_size'],
  ['attention.head_count', 'u32', 'num_attention_heads'],
  ['attention.head_count_kv', 'u32', 'num_key_value_heads'],
  ['attention.key_length', 'u32', 'head_dim'],
  ['attention.value_length', 'u32', 'head_dim'],
  ['attention.layer_norm_rms_epsilon', 'f32', 'rms_norm_eps'],
  ['rope.freq_base', 'f32', 'rope_theta'],
  ['rope.dimension_count', 'u32', 'head_dim'],
  ['vocab_size', 'u32', 'vocab_size'],
];

const graniteNumbers: readonly NumberField[] = [
  ['embedding_scale', 'f32', 'embedding_multiplier'],
  ['residual_scale', 'f32', 'residual_multiplier'],
  ['attention.scale', 'f32', 'attention_multiplier'],
  ['logit_scale', 'f32', 'logits_scaling'],
];

const gpt2Numbers: readonly NumberField[] = [
  ['block_count', 'u32', 'n_layer'],
  ['context_length', 'u32', 'n_positions'],
  ['embedding_length', 'u32', 'n_embd'],
  ['feed_forward_length', 'u32', 'n_inner'],
  ['attention.head_count', 'u32', 'n_head'],
  ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon'],
];

/** Those of decoders that take the mean away in their norms. */
const layerNormNumbers = (eps: string): readonly NumberField[] => [
  ...decoderNumbers.filter(([, , field]) => field !== 'rms_norm_eps'),
  ['attention.layer_norm_epsilon', 'f32', eps],
];

const windowNumber: NumberField = ['attention.sliding_window', 'u32', 'sliding_window'];

const gemma2Numbers: readonly NumberField[] = [
  windowNumber,
  ['attn_logit_softcapping', 'f32', 'attn_logit_softcapping'],
  ['final_logit_softcapping', 'f32', 'final_logit_softcapping'],
];

const gemma3Numbers: readonly NumberField[] = [
  windowNumber,
  ['final_logit_softcapping', 'f32', 'final_logit_softcapping'],
  ['rope.freq_base_swa', 'f32', 'rope_local_base_freq'],
];

const cohereNumbers: readonly NumberField[] = [['logit_scale', 'f32', 'logit_scale']];

/** The fields that all gated decoders have. */
const decoderConfig = (fields: Fields, { theta, headDim, scaling }: Rotary): Json => {
  const read = readNumbers(decoderNumbers, fields);
  const rotated = fields.number('rope.dimension_count') ?? headDim;
  return {
    num_key_value_heads: read['num_attention_heads'],
    ...read,
    head_dim: headDim,
    rope_theta: theta,
    ...(scaling && { rope_scaling: scaling }),
    ...(rotated !== headDim && { partial_rotary_factor: rotated / headDim }),
  };
};

/** Those of a Gemma, whose files don't name the activation. */
const gemmaConfig = (fields: Fields, rope: Rotary): Json => ({
  ...decoderConfig(fields, rope),
  hidden_act: 'gelu_pytorch_tanh',
  hidden_activation: 'gelu_pytorch_tanh',
});

/** The scale of scores that llama.cpp takes for a Gemma 2 or 3, whose files don't tell it: of a head's width, or, at the depth of the largest, of another. */
const scoreScale =
  (largest: number) =>
  ({ number }: Fields, headDim: number): Json => ({
    query_pre_attn_scalar:
      number('block_count') === largest ? number('embedding_length')! / number('attention.head_count')! : headDim,
  });
const [gemma2Scale, gemma3Scale] = [scoreScale(46), scoreScale(62)];

const gemma2Layers = {
  ...decoderLayers,
  post_attention_layernorm: 'post_attention_norm',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
};

const decoder = {
  layers: decoderLayers,
  outside: decoderOutside,
  blocks: 'model.layers',
  numbers: decoderNumbers,
  config: decoderConfig,
};

/** The architectures by llama.cpp's names. */
export const architectures: Readonly<Record<string, Architecture>> = {
  llama: {
    ...decoder,
    modelType: 'llama',
    pairedRows: true,
    config: (fields, rope) => ({
      ...decoderConfig(fields, rope),
      attention_bias: fields.hasTensor('blk.0.attn_q.bias'),
      mlp_bias: fields.hasTensor('blk.0.ffn_gate.bias'),
    }),
  },
  qwen2: { ...decoder, modelType: 'qwen2' },
  qwen3: { ...decoder, layers: { ...decoderLayers, ...queryKeyNorms }, modelType: 'qwen3' },
  gemma: {
    ...decoder,
    modelType: 'gemma',
    normOffset: 1,
    config: gemmaConfig,
  },
  gemma2: {
    ...decoder,
    layers: gemma2Layers,
    modelType: 'gemma2',
    normOffset: 1,
    numbers: [...decoderNumbers, ...gemma2Numbers],
    config: (fields, rope) => ({
      ...gemmaConfig(fields, rope),
      ...readNumbers(gemma2Numbers, fields),
      ...gemma2Scale(fields, rope.headDim),
    }),
  },
  gemma3: {
    ...decoder,
    layers: { ...gemma2Layers, ...queryKeyNorms },
    modelType: 'gemma3_text',
    normOffset: 1,
    numbers: [...decoderNumbers, ...gemma3Numbers],
    config: (fields, rope) => ({
      ...gemmaConfig(fields, rope),
      sliding_window: null,
      ...readNumbers(gemma3Numbers, fields),
      ...gemma3Scale(fields, rope.headDim),
    }),
  },
  phi3: {
    ...decoder,
    layers: {
      input_layernorm: 'attn_norm',
      'self_attn.qkv_proj': 'attn_qkv',
      'self_attn.o_proj': 'attn_output',
      post_attention_layernorm: 'ffn_norm',
      'mlp.gate_up_proj': 'ffn_up',
      'mlp.down_proj': 'ffn_down',
    },
    modelType: 'phi3',
    reads: ['attention.sliding_window', 'rope.scaling.attn_factor'],
    config: (fields, rope) => ({
      ...decoderConfig(fields, rope),
      // 0 is none.
      sliding_window: fields.number('attention.sliding_window') || null,
      original_max_position_embeddings: fields.number('rope.scaling.original_context_length'),
    }),
    more: ({ sliding_window, head_dim, partial_rotary_factor = 1, rope_scaling, original_max_position_embeddings }) => [
      ['attention.sliding_window', 'u32', Number(sliding_window ?? 0)],
      ['rope.dimension_count', 'u32', Math.trunc(Number(head_dim) * Number(partial_rotary_factor))],
      ['rope.scaling.original_context_length', 'u32', Number(original_max_position_embeddings)],
      ...(rope_scaling
        ? [['rope.scaling.attn_factor', 'f32', Number(Object(rope_scaling)['attention_factor'])] as const]
        : []),
    ],
  },
  starcoder2: {
    ...decoder,
    layers: { ...decoderLayers, 'mlp.c_fc': 'ffn_up', 'mlp.c_proj': 'ffn_down' },
    modelType: 'starcoder2',
    numbers: layerNormNumbers('norm_epsilon'),
    config: (fields, rope) => ({
      ...decoderConfig(fields, rope),
      norm_epsilon: fields.number('attention.layer_norm_epsilon'),
      use_bias: fields.hasTensor('blk.0.attn_q.bias'),
    }),
  },
  'command-r': {
    ...decoder,
    modelType: 'cohere',
    numbers: [...layerNormNumbers('layer_norm_eps'), ...cohereNumbers],
    config: (fields, rope) => ({
      ...decoderConfig(fields, rope),
      layer_norm_eps: fields.number('attention.layer_norm_epsilon'),
      ...readNumbers(cohereNumbers, fields),
    }),
  },
  cohere2: {
    ...decoder,
    modelType: 'cohere2',
    numbers: [...layerNormNumbers('layer_norm_eps'), windowNumber, ...cohereNumbers],
    config: (fields, rope) => ({
      ...decoderConfig(fields, rope),
      layer_norm_eps: fields.number('attention.layer_norm_epsilon'),
      ...readNumbers([windowNumber, ...cohereNumbers], fields),
    }),
  },
  smollm3: { ...decoder, modelType: 'smollm3', pairedRows: true },
  olmo2: {
    ...decoder,
    layers: {
      ...decoderLayers,
      ...queryKeyNorms,
      post_attention_layernorm: 'post_attention_norm',
      post_feedforward_layernorm: 'post_ffw_norm',
    },
    modelType: 'olmo2',
  },
  granite: {
    ...decoder,
    modelType: 'granite',
    pairedRows: true,
    numbers: [...decoderNumbers, ...graniteNumbers],
    config: (fields, rope) => ({ ...decoderConfig(fields, rope), ...readNumbers(graniteNumbers, fields) }),
  },
  gpt2: {
    modelType: 'gpt2',
    blocks: 'transformer.h',
    outside: {
      'transformer.wte': 'token_embd',
      'transformer.wpe': 'position_embd',
      'transformer.ln_f': 'output_norm',
      lm_head: 'output',
    },
    layers: {
      ln_1: 'attn_norm',
      'attn.c_attn': 'attn_qkv',
      'attn.c_proj': 'attn_output',
      ln_2: 'ffn_norm',
      'mlp.c_fc': 'ffn_up',
      'mlp.c_proj': 'ffn_down',
    },
    numbers: gpt2Numbers,
    config: (fields) => readNumbers(gpt2Numbers, fields),
  },
};

/** llama.cpp's name and record for a `model_type`. Throws `unknown-architecture` with those that there are. */
export const architectureOf = (who: string, modelType: string): readonly [string, Architecture] => {
  const found = Object.entries(architectures).find(([, architecture]) => architecture.modelType === modelType);
  if (found) return found;
  const types = Object.values(architectures).map((architecture) => architecture.modelType);
  throw new PeftError(
    'unknown-architecture',
    `${who}: models of type ${modelType} are not written as GGUF; those of type ${types.join(', ')} are`,
  );
};
