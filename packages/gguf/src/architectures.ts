import { PeftError } from '@peftjs/tensor';
import type { GgufValue } from './header.ts';

/** Numbers and flags of a file's metadata, by what follows the architecture's name: `block_count` of `llama.block_count`. */
export interface Fields {
  number(name: string): number | undefined;
  text(name: string): string | undefined;
  /** Whether the file has a tensor. */
  hasTensor(name: string): boolean;
}

/** How queries and keys are turned by position. */
export interface Rotary {
  readonly theta: number;
  /** Values of a head. */
  readonly headDim: number;
  /** `rope_scaling`; null where there is none. */
  readonly scaling: Readonly<Record<string, unknown>> | null;
}

/** How one of llama.cpp's architectures is a model of Hugging Face's. https://github.com/ggml-org/llama.cpp (convert_hf_to_gguf.py) */
export interface Architecture {
  readonly modelType: string;
  /** Names of layers within a block: Hugging Face's, and llama.cpp's. */
  readonly layers: Readonly<Record<string, string>>;
  /** The same outside of blocks. */
  readonly outside: Readonly<Record<string, string>>;
  /** Where blocks lie in Hugging Face's names: `model.layers`. */
  readonly blocks: string;
  /** Whether rows of queries and keys are ordered by pairs of neighbours, as llama.cpp rotates them, not by halves. */
  readonly pairedRows?: boolean;
  /** Number that the file's norms are above ours. */
  readonly normOffset?: number;
  /** The numbers of its metadata. */
  readonly numbers: readonly NumberField[];
  /** Fields of `config.json`: these numbers, and what else the metadata say. */
  config(fields: Fields, rope: Rotary): Readonly<Record<string, unknown>>;
}

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

type Json = Readonly<Record<string, unknown>>;

/** A number of the metadata, after the architecture's name, its kind there, and the field of `config.json` that it is. */
type NumberField = readonly [name: string, kind: 'u32' | 'f32', field: string];

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

/** The fields of numbers that a file has. */
const readNumbers = (rows: readonly NumberField[], { number }: Fields): Json =>
  Object.fromEntries(
    rows.flatMap(([name, , field]) => {
      const value = number(name);
      return value === undefined ? [] : [[field, value]];
    }),
  );

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
    config: (fields, rope) => ({
      ...decoderConfig(fields, rope),
      hidden_act: 'gelu_pytorch_tanh',
      hidden_activation: 'gelu_pytorch_tanh',
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

/** A number to write: its name in the metadata, after the architecture's. */
export type NumberRow = readonly [name: string, kind: 'u32' | 'f32', value: number];

/** The numbers of a config, as the metadata of a file have them. */
export const numbersOf = ({ numbers }: Architecture, json: Json): readonly NumberRow[] =>
  numbers.flatMap(([name, kind, field]): NumberRow[] =>
    typeof json[field] === 'number' ? [[name, kind, json[field]]] : [],
  );

/** The name that a file has for a tensor of ours: `blk.0.attn_q.weight` for `model.layers.0.self_attn.q_proj.weight`; undefined where it has none. */
export const nameInFile = ({ layers, outside, blocks }: Architecture, name: string): string | undefined => {
  const dot = name.lastIndexOf('.');
  const [path, kind] = [name.slice(0, dot), name.slice(dot)];
  if (Object.hasOwn(outside, path)) return `${outside[path]}${kind}`;
  const [, layer, inBlock] = path.startsWith(`${blocks}.`)
    ? (/^(\d+)\.(.+)$/.exec(path.slice(blocks.length + 1)) ?? [])
    : [];
  return inBlock !== undefined && Object.hasOwn(layers, inBlock) ? `blk.${layer}.${layers[inBlock]}${kind}` : undefined;
};

/** Reads a file's metadata under an architecture's name. */
export const fieldsOf = (
  architecture: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: ReadonlyMap<string, unknown>,
): Fields => {
  const of = (name: string): GgufValue | undefined => metadata.get(`${architecture}.${name}`);
  return {
    number: (name) => {
      const value = of(name);
      return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined;
    },
    text: (name) => {
      const value = of(name);
      return typeof value === 'string' ? value : undefined;
    },
    hasTensor: (name) => tensors.has(name),
  };
};

/** Rotary factors of Llama 3: [headDim / 2], as llama.cpp's converter computes them. Llama Team, 2024. https://arxiv.org/abs/2407.21783 */
export const llama3Factors = (theta: number, headDim: number, factor: number): readonly number[] =>
  Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wavelength < 8192 / 4) return 1;
    if (wavelength > 8192) return factor;
    const smooth = (8192 / wavelength - 1) / 3;
    return 1 / ((1 - smooth) / factor + smooth);
  });

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
