import { type Adapter, type AdapterTensorData, isObject, readAdapter, writeAdapter } from '@peftjs/io';
import { type Executor, PeftError } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';
import { type Adapted, attach } from './attach.ts';
import { combine } from './combine.ts';
import type { AdapterConfig, Method, MethodFormat, State } from './method.ts';
import { within } from './within.ts';

/** How Hugging Face PEFT prefixes the names of an adapter's tensors. */
const keyPrefix = 'base_model.model.';

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
  const trained: State = new Map(
    await Promise.all(
      [...adapted.state].map(async ([name, v]) => [name, { shape: v.shape, data: await executor.read(v) }] as const),
    ),
  );
  const { base, method } = adapted;
  const final = (await method.compact?.(base, trained, executor)) ?? { method, state: trained };
  const { keys = {} } = final.method;
  const tensors = new Map<string, AdapterTensorData>();
  for (const [name, { shape, data }] of final.state)
    tensors.set(keys[name] ?? keyPrefix + name, { shape, data: data as Float32Array | Int32Array });
  await writeAdapter(dir, { ...final.method.config(base), base_model_name_or_path: baseModel ?? null }, tensors);
};

/** The method of a configuration, of those that `load` was told of and of the combinators. */
const methodOf = (config: unknown, formats: readonly MethodFormat[]): Method => {
  if (!isObject(config) || typeof config['peft_type'] !== 'string')
    throw new PeftError('bad-adapter', 'each method of adapter_config.json must be an object with its peft_type');
  const own = config as AdapterConfig;
  const format = [combine, within, ...formats].find((f) => f.reads(own));
  if (format) return format.fromConfig(own, (inner) => methodOf(inner, formats));
  const known = formats.map((f) => `${f.name} (${f.peftType})`).join(', ') || 'none';
  throw new PeftError(
    'bad-adapter',
    `the adapter is of type ${own.peft_type}; load was given: ${known}. Pass the method that reads it.`,
  );
};

/** Full names of the tensors in a file. */
const named = (method: Method, tensors: Adapter['tensors']): State => {
  const nameOf = new Map(Object.entries(method.keys ?? {}).map(([name, key]) => [key, name]));
  const wrong = [...tensors.keys()].filter((key) => !nameOf.has(key) && !key.startsWith(keyPrefix));
  if (wrong.length > 0)
    throw new PeftError('bad-adapter', `the names of ${wrong.join(', ')} should start with ${keyPrefix}`);
  return new Map([...tensors].map(([key, t]) => [nameOf.get(key) ?? key.slice(keyPrefix.length), t]));
};

/**
 * Attaches the adapter in a folder, written by `save` or by Hugging Face PEFT. `formats` are the methods it may build: `[lora]`.
 * Throws `file-missing`, `bad-safetensors`, `bad-adapter`; `state-mismatch` when tensors are missing, left over or of other shapes.
 */
export const load = async (base: CausalLM, dir: string, formats: readonly MethodFormat[]): Promise<Adapted> => {
  const { config, tensors } = await readAdapter(dir);
  try {
    const method = methodOf(config.raw, formats);
    return attach(base, method.parts ?? [method], { state: named(method, tensors) });
  } catch (cause) {
    if (cause instanceof PeftError) throw new PeftError(cause.code, `${dir}: ${cause.message}`, { cause });
    throw cause;
  }
};
