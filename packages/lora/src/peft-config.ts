import { familyTarget, isObject, type JsonObject, type JsonValue, pythonPattern } from '@peftjs/core';
import type { Model, Target } from '@peftjs/transformer';
import { startOf } from './variant-of.ts';

/** Whether transformers holds the weights of this model's layers as [in, out]. */
export const fanInFanOut = ({ linears, layout }: Model): JsonObject => ({
  fan_in_fan_out: [...linears.keys()].some((path) => layout.storedTransposed(path)),
});

/** The default target of methods that train frequencies: another one than LoRA's in GPT-2. */
export const spectralTarget = (model: Model): Target =>
  model.layout.defaultTarget('spectral') ?? familyTarget('lora')(model);

/** Fields of a configuration of LoRA's kind that change the function, with the only values that `lora` and its variants compute without them. */
export const notComputedInLora: Readonly<Record<string, readonly JsonValue[]>> = {
  use_dora: [false],
  lora_bias: [false],
  alora_invocation_tokens: [],
  use_qalora: [false],
  use_bdlora: [false],
  kasa_config: [],
  velora_config: [],
  monteclora_config: [],
  // Of parts of a joined layer, which Hugging Face PEFT had before 0.3.
  enable_lora: [],
};

/** The modules that Hugging Face PEFT ties by `ensure_weight_tying`, by the end of their name. */
const tied: readonly string[] = ['embed_tokens', 'lm_head'];

/** Whether a field of a file, a list or a pattern, names one of them. */
const namesTied = (field: JsonValue | undefined): boolean =>
  Array.isArray(field)
    ? field.some((name) => tied.includes(String(name).split('.').at(-1)!))
    : typeof field === 'string' && field !== 'all-linear' && tied.some((name) => pythonPattern(field).fullMatch(name));

/**
 * The reason that a file whose adapters of the embedding and of the head that shares its table are one is not read; null where there are no
 * such: then Hugging Face PEFT says so too, and goes on.
 */
const tiedAdapters = (config: JsonObject): string | null => {
  if (config['ensure_weight_tying'] !== true) return null;
  const names = ['target_modules', 'modules_to_save'].filter((field) => namesTied(config[field]));
  if (names.length === 0) return null;
  return `ensure_weight_tying makes one adapter of those of the embedding and of the head that shares its table, which is not computed here; leave embed_tokens and lm_head out of ${names.join(' and ')}, or train with ensure_weight_tying=False, where each has its own`;
};

/** Ways to begin that leave the base as it is, so that a file says nothing else by them. */
const safeStarts: readonly JsonValue[] = [null, true, false, 'gaussian', 'orthogonal', 'eva'];

/** The reason that a file is not read that began in a way which changed the base, or which trains another part. */
const refusedStart = (start: JsonValue): string => {
  const convert =
    'save it from Hugging Face PEFT with path_initial_model_for_weight_conversion, which makes an ordinary LoRA of it';
  const given = `init_lora_weights is ${JSON.stringify(start)}`;
  if (start === 'pissa' || start === 'olora')
    return `${given}, which ${start} alone computes, over LoRA's own function; ${convert}`;
  if (start === 'mica') return `${given}, which mica alone computes, over LoRA's own function`;
  return `${given}, which took its first values out of the base's weights by data or by chance that are not in the file, so the adapter fits another base than this one; ${convert}`;
};

/** The reason that a file is not read that changes parts that no model here has, or that `lora` alone adapts; null where there are no such. */
const foreignParts = ({
  layer_replication: repeated,
  target_parameters: fused,
  arrow_config: router,
}: JsonObject): string | null => {
  if (isObject(router) && Object.keys(router).length > 0)
    return "arrow_config is that of a router, whose file has no experts; load these with lora, one by one, and give them to arrow from '@peftjs/lora'";
  if (Array.isArray(repeated) && repeated.length > 0)
    return 'layer_replication repeats layers of the base; `load` does so by itself, else repeat them with `repeatLayers`, and leave layer_replication out';
  if (Array.isArray(fused) && fused.length > 0)
    return `target_parameters names ${fused.slice(0, 3).join(', ')}, parameters of fused experts, which lora alone adapts`;
  return null;
};

/**
 * The reason that a file is not read whose first values were taken out of the base's weights, but for the ways of `starts`, whose adapters are tied, or which adapts what no model has; null where it
 * is.
 */
export const refusedInLora = (config: JsonObject, starts: readonly JsonValue[] = []): string | null => {
  const foreign = foreignParts(config);
  if (foreign) return foreign;
  const start = startOf(config);
  return safeStarts.includes(start) || starts.includes(start) ? tiedAdapters(config) : refusedStart(start);
};
