import {
  type Adapter,
  type AdapterTensorData,
  filesAt,
  isObject,
  type JsonObject,
  type JsonValue,
  type Place,
  readAdapter,
  writeAdapter,
  writeAdapterHub,
} from '@peftjs/io';
import { type Executor, PeftError } from '@peftjs/tensor';
import type { Model, TaskModel } from '@peftjs/transformer';
import { type Adapted, attach } from './attach.ts';
import { combine } from './combine.ts';
import { withoutCopies } from './copies.ts';
import type { AdapterConfig, Method, MethodFormat, State } from './method.ts';
import { snapshot } from './snapshot.ts';
import { union } from './union.ts';
import { within } from './within.ts';

/** The prefix of the names of an adapter's tensors, by layout. */
const keyPrefix = { peft: 'base_model.model.', 'adapter-hub': '' } as const;

/** Hugging Face PEFT puts a model with rows or keys in front into one module, any other into two. */
const prefixOf = (layout: keyof typeof keyPrefix, config: AdapterConfig): string =>
  layout === 'peft' && 'num_virtual_tokens' in config ? 'base_model.' : keyPrefix[layout];

/** How `save` describes the adapter. */
export interface SaveOptions {
  /** Name or folder of the base model. */
  readonly baseModel?: string;
}

/** Refuses the layout of adapter-hub/adapters for models whose modules it has under names that are not known here. Throws `bad-adapter`. */
const requireHubNames = ({ layout: { modelType, defaultTarget } }: Model, method: string): void => {
  if (defaultTarget('adapterHubIntermediate') === undefined)
    throw new PeftError(
      'bad-adapter',
      `${method}: its files are those of adapter-hub/adapters, whose names for the layers of ${modelType} are not known here; use a method of Hugging Face PEFT's layout`,
    );
};

/** `task_type` of PEFT's files; null where a model has no task, or one that PEFT has no name for. */
const taskType = (model: Model): string | null => ('task' in model ? (model as TaskModel).task.type : null);

/** The value without `peft_type` at any depth: adapter-hub/adapters takes every field for an option of the method. */
const withoutType = (value: JsonValue): JsonValue => {
  if (Array.isArray(value)) return value.map(withoutType);
  if (!isObject(value)) return value;
  const fields = Object.entries(value).filter(([field]) => field !== 'peft_type');
  return Object.fromEntries(fields.map(([field, inner]) => [field, withoutType(inner as JsonValue)]));
};

/**
 * Writes an adapter in its method's layout, into a folder on disk or `Files` that can be written. As Hugging Face PEFT does: `adapter_config.json` and `adapter_model.safetensors` with keys
 * `base_model.model.<path>.<name>`; several methods at once go into the same two files, with `peft_type` PEFTJS_LIST and keys
 * `base_model.model.methods.<i>.<path>.<name>`. Or, where only that has the method, as adapter-hub/adapters does: `adapter.safetensors`,
 * the adapter called `default`. Files appear whole or not at all. Throws `write-failed`.
 */
export const save = async (
  adapted: Adapted<Model>,
  dir: Place,
  executor: Executor,
  { baseModel }: SaveOptions = {},
): Promise<void> => {
  const { method, config, state } = await snapshot(adapted, executor);
  const { keys = {}, layout = 'peft' } = method;
  const tensors = new Map<string, AdapterTensorData>();
  for (const [key, tensor] of state)
    tensors.set(keys[key] ?? prefixOf(layout, config) + key, asStored(adapted.base, key, tensor as AdapterTensorData));
  const name = baseModel ?? null;
  const { layout: own, main, trainedHeads } = adapted.base;
  if (layout === 'peft')
    return writeAdapter(
      dir,
      {
        ...config,
        task_type: taskType(adapted.base),
        inference_mode: true,
        ...(trainedHeads.length > 0 && { modules_to_save: withHeads(config, trainedHeads) }),
        base_model_name_or_path: name,
      },
      tensors,
    );
  requireHubNames(adapted.base, method.name);
  const model = { modelType: own.modelType, hiddenSize: main.hiddenSize, modelClass: own.modelClass, name };
  return writeAdapterHub(dir, withoutType(config) as JsonObject, model, tensors);
};

/** The method of a configuration, of those that `load` was told of and of the combinators. */
const methodOf = (config: unknown, formats: readonly MethodFormat[]): Method => {
  if (!isObject(config))
    throw new PeftError('bad-adapter', 'each method of adapter_config.json must be an object that says which it is');
  const own = config as AdapterConfig;
  const format = [combine, within, ...formats, union].find((f) => f.reads(own));
  if (format) return format.fromConfig(own, (inner) => methodOf(inner, formats));
  const known = formats.map((f) => `${f.name} (${f.peftType})`).join(', ') || 'none';
  throw new PeftError(
    'bad-adapter',
    `the adapter is of type ${own.peft_type ?? own['architecture'] ?? 'bottleneck'}; load was given: ${known}. Pass the method that reads it.`,
  );
};

/** The modules that are trained whole: those of the configuration, and the task's own heads. */
const withHeads = ({ modules_to_save: saved }: AdapterConfig, heads: readonly string[]): string[] => [
  ...new Set([...(Array.isArray(saved) ? (saved as string[]) : []), ...heads]),
];

/** The configuration without what every adapter of the model has: its task's own head. */
const withoutHeads = (config: AdapterConfig, { trainedHeads }: Model): AdapterConfig => {
  const { modules_to_save: saved, ...rest } = config;
  if (!Array.isArray(saved) || trainedHeads.length === 0) return config;
  const others = saved.filter((name) => !taskHeads.includes(name) && !trainedHeads.includes(name as string));
  return others.length > 0 ? { ...rest, modules_to_save: others } : rest;
};

/** Heads' names that PEFT lists for every classifier, whether the model has them or not. */
const taskHeads: readonly unknown[] = ['classifier', 'score'];

/** A layer's own weight as files hold it, where they hold it transposed: of layers that are trained whole. */
const asStored = (base: Model, name: string, tensor: AdapterTensorData): AdapterTensorData => {
  const path = name.endsWith('.weight') ? name.slice(0, -'.weight'.length) : '';
  if (!base.linears.has(path) || !base.layout.storedTransposed(path)) return tensor;
  const [rows, columns] = tensor.shape as readonly [number, number];
  const data = new Float32Array(tensor.data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) data[j * rows + i] = tensor.data[i * columns + j]!;
  return { ...tensor, shape: [columns, rows], data };
};

/** Full names of the tensors in a file. */
const named = ({ layout, tensors, config }: Adapter, method: Method): State => {
  const nameOf = new Map(Object.entries(method.keys ?? {}).map(([name, key]) => [key, name]));
  const prefix = prefixOf(layout, config.raw);
  const wrong = [...tensors.keys()].filter((key) => !nameOf.has(key) && !key.startsWith(prefix));
  if (wrong.length > 0)
    throw new PeftError('bad-adapter', `the names of ${wrong.join(', ')} should start with ${prefix}`);
  return new Map([...tensors].map(([key, t]) => [nameOf.get(key) ?? key.slice(prefix.length), t]));
};

/**
 * Attaches the adapter in a folder (a path on disk, a URL, `Files`), written by `save`, by Hugging Face PEFT or by adapter-hub/adapters. `formats` are the methods it may
 * build: `[lora]`. Throws `file-missing`, `bad-safetensors`, `bad-adapter`; `state-mismatch` when tensors are missing, left over or of
 * other shapes.
 */
export const load = async <M extends Model>(
  base: M,
  dir: Place,
  formats: readonly MethodFormat[],
): Promise<Adapted<M>> => {
  const files = await filesAt(dir);
  const adapter = await readAdapter(files);
  try {
    const method = methodOf(withoutHeads(adapter.config.raw, base), formats);
    const { layout = 'peft' } = method;
    if (layout !== adapter.layout)
      throw new PeftError('bad-adapter', `${method.name} has files in the layout of ${layout}, not ${adapter.layout}`);
    if (layout === 'adapter-hub') requireHubNames(base, method.name);
    const methods = method.parts ?? [method];
    const state = new Map(
      [...named(adapter, method)].map(([name, t]) => [name, asStored(base, name, t as AdapterTensorData)]),
    );
    const wanted = new Set(attach(base, methods).state.keys());
    return attach(base, methods, { state: await withoutCopies(base, state, wanted) });
  } catch (cause) {
    if (cause instanceof PeftError) throw new PeftError(cause.code, `${files.name}: ${cause.message}`, { cause });
    throw cause;
  }
};
