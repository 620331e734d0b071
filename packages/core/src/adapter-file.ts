import { type JsonObject, readAdapter, writeAdapter } from '@peftjs/io';
import { type Executor, PeftError } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';
import { type Adapted, attach } from './attach.ts';
import type { AdapterConfig, Method, MethodFormat } from './method.ts';

/** How Hugging Face PEFT prefixes the names of an adapter's tensors. */
const keyPrefix = 'base_model.model.';

/** `peft_type` of a list of methods, which Hugging Face PEFT has no layout for: `methods` holds the configuration of each. */
const listType = 'PEFTJS_LIST';

const configOf = ({ base, methods }: Adapted, extra: JsonObject): AdapterConfig => {
  const configs = methods.map((m) => m.config(base));
  return configs.length === 1 ? { ...configs[0]!, ...extra } : { ...extra, peft_type: listType, methods: configs };
};

/** How `save` describes the adapter. */
export interface SaveOptions {
  /** Name or folder of the base model, kept as `base_model_name_or_path`. */
  readonly baseModel?: string;
}

/**
 * Writes an adapter as Hugging Face PEFT does: `adapter_config.json` and `adapter_model.safetensors` with keys
 * `base_model.model.<path>.<name>`. Several methods at once go into the same two files, with `peft_type` PEFTJS_LIST and keys
 * `base_model.model.methods.<i>.<path>.<name>`. Files appear whole or not at all. Throws `write-failed`.
 */
export const save = async (
  adapted: Adapted,
  dir: string,
  executor: Executor,
  { baseModel }: SaveOptions = {},
): Promise<void> => {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, v] of adapted.state)
    tensors.set(keyPrefix + name, { shape: v.shape, data: (await executor.read(v)) as Float32Array });
  await writeAdapter(dir, configOf(adapted, { base_model_name_or_path: baseModel ?? null }), tensors);
};

const build = (dir: string, config: AdapterConfig, formats: readonly MethodFormat[]): Method => {
  const format = formats.find((f) => f.peftType === config.peft_type);
  if (format) return format.fromConfig(config);
  const known = formats.map((f) => f.peftType).join(', ') || 'none';
  throw new PeftError(
    'bad-adapter',
    `${dir}: the adapter is of type ${String(config.peft_type)}; load was given: ${known}. Pass the method that reads it.`,
  );
};

const methodsOf = (dir: string, config: AdapterConfig, formats: readonly MethodFormat[]): Method[] => {
  if (config.peft_type !== listType) return [build(dir, config, formats)];
  const list = config['methods'];
  if (!Array.isArray(list) || list.length === 0)
    throw new PeftError('bad-adapter', `${dir}: adapter_config.json of type ${listType} must list its methods`);
  return list.map((c) => build(dir, c as AdapterConfig, formats));
};

const unprefixed = (dir: string, key: string): string => {
  if (key.startsWith(keyPrefix)) return key.slice(keyPrefix.length);
  throw new PeftError('bad-adapter', `${dir}: tensor ${key} should start with ${keyPrefix}`);
};

/**
 * Attaches the adapter in a folder, written by `save` or by Hugging Face PEFT. `formats` are the methods it may build: `[lora]`.
 * Throws `file-missing`, `bad-safetensors`, `bad-adapter`; `state-mismatch` when tensors are missing, left over or of other shapes.
 */
export const load = async (base: CausalLM, dir: string, formats: readonly MethodFormat[]): Promise<Adapted> => {
  const { config, tensors } = await readAdapter(dir);
  const raw = config.raw as AdapterConfig; // peft_type was checked
  const state = new Map([...tensors].map(([key, t]) => [unprefixed(dir, key), t]));
  try {
    return attach(base, methodsOf(dir, raw, formats), { state });
  } catch (cause) {
    if (cause instanceof PeftError) throw new PeftError(cause.code, `${dir}: ${cause.message}`, { cause });
    throw cause;
  }
};
