import {
  type Adapter,
  type AdapterTensorData,
  filesAt,
  float32ToHalf,
  halfToFloat32,
  isObject,
  type JsonObject,
  type JsonValue,
  type Place,
  readAdapter,
  writeAdapter,
  writeAdapterHub,
} from '@peftjs/io';
import {
  checkOptions,
  type DType,
  holds,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Rules,
  type Shape,
  type TypedArray,
} from '@peftjs/tensor';
import { hostArray } from '@peftjs/tensor/executor';
import type { Model, TaskModel } from '@peftjs/transformer';
import { type Adapted, attach } from './attach.ts';
import { withoutCopies } from './copies.ts';
import { findMethod, formatsIn, type Methods } from './find-method.ts';
import { checkFinite } from './finite.ts';
import type { AdapterConfig, Method, State } from './method.ts';
import { snapshot } from './snapshot.ts';

/** The prefix of the names of an adapter's tensors, by layout. */
const keyPrefix = { peft: 'base_model.model.', 'adapter-hub': '' } as const;

/** Hugging Face PEFT puts a model with rows or keys in front into one module, any other into two. */
const prefixOf = (layout: keyof typeof keyPrefix, config: AdapterConfig): string =>
  layout === 'peft' && 'num_virtual_tokens' in config ? 'base_model.' : keyPrefix[layout];

/** How `save` describes the adapter. */
export interface SaveOptions extends OnExecutor {
  /** Name or folder of the base model; null for none. Default: where `loadModel` found it. */
  readonly baseModel?: string | null;
}

const saveRules: Rules<SaveOptions> = {
  ...onExecutor,
  baseModel: mustBe.such('a text or null', (v) => v === null || typeof v === 'string'),
};

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
export const save = async (adapted: Adapted<Model>, dir: Place, options: SaveOptions): Promise<void> => {
  checkOptions('save', saveRules, options);
  const { executor, baseModel = adapted.base.layout.origin } = options;
  const { method, config, state } = await snapshot(adapted, { executor });
  const { keys = {}, layout = 'peft' } = method;
  const tensors = new Map<string, AdapterTensorData>();
  for (const [key, tensor] of state)
    tensors.set(keys[key] ?? prefixOf(layout, config) + key, asStored(adapted.base, key, inFile(tensor)));
  const name = baseModel;
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

interface Values {
  readonly shape: Shape;
  readonly data: TypedArray;
}

/** A tensor as files hold it: f16 as its values. */
const inFile = ({ shape, data }: Values): AdapterTensorData =>
  data instanceof Uint16Array ? { shape, data: halfToFloat32(data), dtype: 'F16' } : { shape, data };

/** A file's tensor as an adapter holds it; what does not fit stays as it is. */
const asHeld = ({ shape, data }: Values, dtype: DType | undefined): Values => {
  const fits: boolean = dtype !== undefined && holds(dtype, data);
  if (dtype === undefined || fits) return { shape, data };
  if (dtype === 'f16') return { shape, data: data instanceof Float32Array ? float32ToHalf(data) : data };
  if (dtype === 'f32' || data instanceof Float32Array) return { shape, data };
  const whole = hostArray(dtype, data.length);
  whole.set(data);
  return { shape, data: whole.every((v, i) => v === data[i]) ? whole : data };
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
 * Attaches the adapter in a folder (a path on disk, a URL, `Files`), written by `save`, by Hugging Face PEFT or by adapter-hub/adapters. `methods` are those
 * it may build, a list or all that a package exports; it finds the one by itself. Throws `file-missing`, `bad-safetensors`, `bad-adapter`; `state-mismatch` when tensors are missing, left over or of
 * other shapes.
 */
export const load = async <M extends Model>(base: M, dir: Place, methods: Methods): Promise<Adapted<M>> => {
  const files = await filesAt(dir);
  const adapter = await readAdapter(files);
  try {
    const method = findMethod(withoutHeads(adapter.config.raw, base), formatsIn(methods));
    const { layout = 'peft' } = method;
    if (layout !== adapter.layout)
      throw new PeftError('bad-adapter', `${method.name} has files in the layout of ${layout}, not ${adapter.layout}`);
    if (layout === 'adapter-hub') requireHubNames(base, method.name);
    checkFinite(adapter.tensors);
    const parts = method.parts ?? [method];
    const stored = new Map(
      [...named(adapter, method)].map(([name, t]) => [name, asStored(base, name, t as AdapterTensorData)]),
    );
    const wanted = attach(base, parts).state;
    const own = await withoutCopies(base, stored, wanted);
    const state = new Map([...own].map(([name, t]) => [name, asHeld(t, wanted.get(name)?.dtype)]));
    return attach(base, parts, { state });
  } catch (cause) {
    if (cause instanceof PeftError) throw new PeftError(cause.code, `${files.name}: ${cause.message}`, { cause });
    throw cause;
  }
};
