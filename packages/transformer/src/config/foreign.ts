import { isObject } from '@peftjs/io';
import { shown } from '@peftjs/tensor';
import type { Family } from '../families/family.ts';

type Json = Readonly<Record<string, unknown>>;

const isOff = (value: unknown): boolean => value === undefined || value === null || value === false;
const isOne = (value: unknown): boolean => isOff(value) || value === 1;

/** Fields that change what a model of some family computes, and that few families or none here read; with the values that change nothing. */
const fields: Readonly<Record<string, (value: unknown, config: Json) => boolean>> = {
  sliding_window: (value, { use_sliding_window: used, max_position_embeddings: most }) =>
    isOff(value) || used === false || (typeof value === 'number' && typeof most === 'number' && value >= most),
  layer_types: (value) => isOff(value) || (Array.isArray(value) && value.every((kind) => kind === 'full_attention')),
  is_causal: (value) => value !== false,
  use_bidirectional_attention: isOff,
  attn_logit_softcapping: isOff,
  final_logit_softcapping: isOff,
  query_pre_attn_scalar: isOff,
  clip_qkv: isOff,
  qk_layernorm: isOff,
  use_qk_norm: isOff,
  no_rope_layers: (value) => isOff(value) || (Array.isArray(value) && value.every((uses) => uses === 1)),
  no_rope_layer_interval: isOff,
  partial_rotary_factor: isOne,
  rotary_pct: isOne,
  alibi: isOff,
  parallel_attn: isOff,
  use_parallel_residual: isOff,
  logit_scale: isOne,
  logits_scaling: isOne,
  embedding_multiplier: isOne,
  residual_multiplier: isOne,
  attention_multiplier: isOff,
  num_experts: isOff,
  num_local_experts: isOff,
  n_routed_experts: isOff,
  relative_attention: isOff,
  // DeBERTa's other head over the vocabulary, which its other classes have not.
  legacy: (value, { architectures }) =>
    value !== false ||
    !(Array.isArray(architectures) && architectures.some((name) => /ForMaskedLM$/.test(String(name)))),
  // BLOOM's class leaves biases out where it adds up slices.
  slow_but_exact: (value, { pretraining_tp: slices }) => isOff(value) || isOne(slices),
};

/** `Llama` of `LlamaForCausalLM`: the beginning that all classes of a family share. */
const stemOf = (name: string): string => name.replace(/(For[A-Z]|LMHead|Model$|EncoderModel$).*$/, '').toLowerCase();

/** Methods that `@peftjs/quant` has readers of, which have their names. */
const readable = ['bitsandbytes', 'gptq', 'awq', 'mxfp4'];

/** A problem where weights are quantised by a method that is none of those that are read. */
const unreadWeights = (config: unknown, quantizers: readonly string[]): string[] => {
  const method = isObject(config) ? config['quant_method'] : config;
  if (isOff(config) || quantizers.some((name) => name === method)) return [];
  const told = quantizers.length > 0 ? `${quantizers.join(', ')} are, as loadModel was told; ` : '';
  const known = readable.some((name) => name === method)
    ? `loadModel takes the reader of such: { readers: [${method}] } of @peftjs/quant`
    : `@peftjs/quant has readers of ${readable.join(', ')}`;
  return [
    `quantization_config: reading weights of quant_method ${shown(method)} is not supported by itself; ${told}${known}`,
  ];
};

/**
 * Signs that a config is not of the family that its `model_type` names, or asks for what nothing here computes; read as it stands the model would
 * compute something else, without an error.
 */
export const foreignParts = (
  json: unknown,
  { modelType, heads, reads = [] }: Family,
  quantizers: readonly string[],
): string[] => {
  if (!isObject(json)) return [];
  const stems = new Set(Object.values(heads).map(({ modelClass }) => stemOf(modelClass)));
  const classes = Array.isArray(json['architectures']) ? json['architectures'] : [];
  const odd = classes.filter((name) => typeof name === 'string' && !stems.has(stemOf(name)));
  const asked = Object.entries(fields).filter(
    ([name, isNeutral]) => !reads.includes(name) && !isNeutral(json[name], json),
  );
  return [
    ...odd.map((name) => `architectures: ${shown(name)} is not supported as a ${modelType}`),
    ...asked.map(([name]) => `${name}: ${shown(json[name])} is not supported`),
    ...unreadWeights(json['quantization_config'], quantizers),
  ];
};
