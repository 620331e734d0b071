import {
  type Adapter,
  type AdapterTensorData,
  filesAt,
  float32ToHalf,
  halfToFloat32,
  isHub,
  isObject,
  type JsonObject,
  type JsonValue,
  type Place,
  parseHub,
  readAdapters,
  writeAdapter,
  writeAdapterHub,
  writeAdapters,
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
  shown,
  type TypedArray,
} from '@peftjs/tensor';
import { hostArray } from '@peftjs/tensor/executor';
import { type LayerRange, type Model, requireModel } from '@peftjs/transformer';
import { foldersOf, foldersWith, keyPrefix, together } from './adapter-folders.ts';
import { type Adapted, attach } from './attach.ts';
import { checkSizes } from './check-sizes.ts';
import { withoutCopies } from './copies.ts';
import { findMethod, formatsIn, type Methods } from './find-method.ts';
import { checkFinite } from './finite.ts';
import { headData, headIn, hubModelOf } from './hub-head/hub-head.ts';
import { hubName } from './hub-head/hub-name.ts';
import type { AdapterConfig, Method, State } from './method.ts';
import { requireAdapted } from './require-adapted.ts';
import { snapshot } from './snapshot.ts';
import { taskType, withHeads, withHubHeads, withOwnHeads, withoutHeads } from './task-heads.ts';
import { withoutWrappedBiases } from './wrapped-biases.ts';

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
const requireHubNames = ({ layout }: Model, { name, hubTable = 'adapterHubIntermediate' }: Method): void => {
  const { modelType, defaultTarget } = layout;
  if ([hubTable, 'adapterHubIntermediate'].every((table) => defaultTarget(table) === undefined))
    throw new PeftError(
      'bad-adapter',
      `${name}: its files are those of adapter-hub/adapters, whose names for the layers of ${modelType} are not known here; use a method of Hugging Face PEFT's layout`,
    );
};

/** A base as PEFT names it: a model on the hub by its repository, and its revision where it is not the usual one. A folder in a repository has no such name. */
const onHub = (name: string | null): { readonly baseModel: string | null; readonly revision: string | null } => {
  if (name === null || !isHub(name)) return { baseModel: name, revision: null };
  const { kind, repo, revision, path } = parseHub(name);
  if (kind !== 'models' || path !== '') return { baseModel: name, revision: null };
  return { baseModel: repo, revision: revision === 'main' ? null : revision };
};

/** The value without `peft_type` at any depth: adapter-hub/adapters takes every field for an option of the method. */
const withoutType = (value: JsonValue): JsonValue => {
  if (Array.isArray(value)) return value.map(withoutType);
  if (!isObject(value)) return value;
  const fields = Object.entries(value).filter(([field]) => field !== 'peft_type');
  return Object.fromEntries(fields.map(([field, inner]) => [field, withoutType(inner as JsonValue)]));
};

/**
 * Writes an adapter in its method's layout, into a folder on disk or `Files` that can be written. As Hugging Face PEFT does:
 * `adapter_config.json` and `adapter_model.safetensors` with keys `base_model.model.<path>.<name>`; several methods that its mixed models
 * take in a folder each, all others in the same two files, see `combine`. Or, where only that has the method, as adapter-hub/adapters does:
 * `adapter.safetensors`, the adapter called `default`, and the task's head in `model_head.safetensors` and `head_config.json`. Files appear whole or not at all. Throws `write-failed`.
 */
export const save = async (adapted: Adapted<Model>, dir: Place, options: SaveOptions): Promise<void> => {
  requireAdapted('save', adapted);
  checkOptions('save', saveRules, options);
  const { executor, baseModel: asked = adapted.base.layout.name } = options;
  const { baseModel, revision } = onHub(asked);
  const { method, config, state: own } = await snapshot(adapted, { executor });
  const { keys = {}, layout = 'peft' } = method;
  const { base } = adapted;
  const copies = method.copies?.(base, [...own.keys()]) ?? new Map<string, string>();
  const state = new Map([...own, ...[...copies].map(([name, of]) => [name, own.get(of)!] as const)]);
  const stored = new Map([...state].map(([key, tensor]) => [key, asStored(base, key, inFile(tensor))]));
  const repeats = repeatsInFile(base, config, method.name);
  const complete = (own: AdapterConfig, heads: readonly string[]): JsonObject => ({
    ...own,
    ...(repeats && { layer_replication: repeats }),
    task_type: taskType(base),
    inference_mode: true,
    ...(heads.length > 0 && { modules_to_save: withHeads(own, heads) }),
    base_model_name_or_path: baseModel,
    ...(revision !== null && { revision }),
  });
  const folders = foldersOf(config);
  if (folders && base.layout.outerModule !== '')
    throw new PeftError(
      'bad-adapter',
      `${method.name}: adapters of several methods are written for models with a head; save each alone, or give the model a task with one`,
    );
  if (folders) return writeAdapters(dir, foldersWith(folders, base, stored, complete));
  const prefix = prefixOf(layout, config);
  const inLayout = (name: string): string => (layout === 'peft' ? name : base.layout.nameInFile(name));
  const tensors = new Map(
    [...stored].map(([key, tensor]) => [
      renamed(Object.entries(keys), key) ?? prefix + within(base, inLayout(key)),
      tensor,
    ]),
  );
  if (layout === 'peft') return writeAdapter(dir, complete(config, base.layout.trainedModules), tensors);
  requireHubNames(base, method);
  const head = headData(base, stored);
  const beside = new Map([...tensors].filter(([name]) => !head?.tensors.has(name)));
  return writeAdapterHub(dir, withoutType(config) as JsonObject, hubModelOf(base, baseModel), beside, head);
};

/** The repeated layers of a base as files tell of them; null for none. Throws `bad-adapter` for a method in whose files they have no place. */
const repeatsInFile = ({ layout: { repeats } }: Model, config: AdapterConfig, method: string): JsonValue | null => {
  if (!repeats) return null;
  if (config['peft_type'] !== 'LORA' || foldersOf(config))
    throw new PeftError(
      'bad-adapter',
      `${method}: the model repeats layers, of which the files of Hugging Face PEFT tell for LoRA alone; attach lora, or save nothing`,
    );
  return repeats.map((range) => [...range]);
};

/** A base with the layers that a file's adapter was made on, and the file without what it says of them. Throws `bad-adapter` where the base's are repeated otherwise, `bad-option`. */
const repeatedFor = <M extends Model>(base: M, config: AdapterConfig): readonly [base: M, config: AdapterConfig] => {
  const { layer_replication: asked, ...rest } = config;
  const { repeats } = base.layout;
  const wanted = Array.isArray(asked) && asked.length > 0 ? (asked as unknown as readonly LayerRange[]) : null;
  if (repeats) {
    if (String(wanted) === String(repeats)) return [base, rest];
    throw new PeftError(
      'bad-adapter',
      `adapter_config.json: layer_replication is ${shown(asked ?? null)}, and the model's layers are repeated as ${JSON.stringify(repeats)}; give the base itself`,
    );
  }
  return wanted ? [base.repeat(wanted), rest] : [base, config];
};

/** A name as the class in transformers has it. */
const within = ({ layout: { outerModule } }: Model, name: string): string =>
  name.startsWith(outerModule) ? name.slice(outerModule.length) : name;

/** A layer's own weight as files hold it, where they hold it transposed: of layers that are trained whole. */
const asStored = (base: Model, name: string, tensor: AdapterTensorData): AdapterTensorData => {
  const path = name.endsWith('.weight') ? name.slice(0, -'.weight'.length) : '';
  if (!base.linears.has(path) || !base.layout.storedTransposed(path)) return tensor;
  const [rows, columns] = tensor.shape as readonly [number, number];
  const data = new Float32Array(tensor.data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) data[j * rows + i] = tensor.data[i * columns + j]!;
  return { ...tensor, shape: [columns, rows], data };
};

/** The other name of a tensor: by an entry of its own, or by one of the beginning of its name, which ends with a dot. */
const renamed = (names: readonly (readonly [from: string, to: string])[], name: string): string | undefined => {
  const [from, to] = names.find(([own]) => own === name || (own.endsWith('.') && name.startsWith(own))) ?? [];
  return from === undefined ? undefined : to! + name.slice(from.length);
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
const named = ({ layout, tensors, config }: Adapter, method: Method, base: Model, wanted: Adapted['state']): State => {
  const names = Object.entries(method.keys ?? {}).map(([name, key]) => [key, name] as const);
  const prefix = prefixOf(layout, config.raw);
  const nameOf = new Map([...tensors.keys()].map((key) => [key, renamed(names, key)]));
  const wrong = [...tensors.keys()].filter((key) => nameOf.get(key) === undefined && !key.startsWith(prefix));
  if (wrong.length > 0)
    throw new PeftError('bad-adapter', `the names of ${wrong.join(', ')} should start with ${prefix}`);
  const { outerModule } = base.layout;
  const whole = (name: string): string => (wanted.has(outerModule + name) ? outerModule + name : name);
  const ownName = layout === 'peft' ? whole : hubName(base, wanted, whole);
  return new Map([...tensors].map(([key, t]) => [nameOf.get(key) ?? ownName(key.slice(prefix.length)), t]));
};

const isSame = (one: TypedArray, other: TypedArray): boolean =>
  one.length === other.length && one.every((v, i) => v === other[i]);

/** A file's tensors by the names that the method has for them. Throws `state-mismatch` where two names of one hold different values. */
const withoutAliases = (state: State, { name: method, aliases = {} }: Method, wanted: Adapted['state']): State => {
  const kept = new Map(state);
  for (const [name, tensor] of state) {
    const [alias, end] = Object.entries(aliases).find(([of]) => name.endsWith(`.${of}`)) ?? [];
    const own = alias === undefined ? name : name.slice(0, -alias.length) + end;
    if (wanted.has(name) || !wanted.has(own)) continue;
    if (!isSame(tensor.data, (state.get(own) ?? tensor).data))
      throw new PeftError('state-mismatch', `${method}: ${name} and ${own} are one tensor, but have other values`);
    kept.delete(name);
    kept.set(own, tensor);
  }
  return kept;
};

/** A file's tensors without those that the method does not have, as they repeat one that it has. Throws `state-mismatch` where one is not the same. */
const withoutRepeated = (state: State, { name: method, repeated = [] }: Method, wanted: Adapted['state']): State => {
  const kept = new Map(state);
  for (const [name, { data }] of state) {
    const end = repeated.find((of) => name.endsWith(`.${of}`));
    if (end === undefined || wanted.has(name)) continue;
    const shared = [...state].filter(([own]) => wanted.has(own) && (own === end || own.endsWith(`.${end}`)));
    if (!shared.some(([, own]) => isSame(data, own.data)))
      throw new PeftError('state-mismatch', `${method}: ${name} must be the same in all layers of a file, but is not`);
    kept.delete(name);
  }
  return kept;
};

/**
 * Attaches the adapter in a folder (a path on disk, a URL, `Files`), written by `save`, by Hugging Face PEFT or by adapter-hub/adapters. `methods` are those
 * it may build, a list or all that a package exports; it finds the one by itself. Layers that PEFT's file repeats (`layer_replication`) are repeated first, see `repeatLayers`, and a task's head that it was trained without stays the base's: the adapter's `base` is such a model. Throws `file-missing`, `bad-safetensors`, `bad-adapter`; `state-mismatch` when tensors are missing, left over or of
 * other shapes.
 */
export const load = async <M extends Model>(given: M, dir: Place, methods: Methods): Promise<Adapted<M>> => {
  requireModel('load', given);
  const formats = formatsIn(methods);
  const files = await filesAt(dir);
  const found = await readAdapters(files);
  try {
    const adapter = 'layout' in found ? found : together(found, given);
    checkSizes(adapter.config.raw, adapter.tensors as State);
    const { outerFormats } = await import('./compose/block-format.ts');
    const { raw } = adapter.config;
    const headed =
      adapter.layout === 'peft' ? withOwnHeads(given, raw, adapter.tensors.keys()) : withHubHeads(given, adapter.head);
    const [base, config] = repeatedFor(headed, raw);
    const method = findMethod(withoutHeads(config, base), formats, outerFormats);
    const { layout = 'peft' } = method;
    if (layout !== adapter.layout)
      throw new PeftError('bad-adapter', `${method.name} has files in the layout of ${layout}, not ${adapter.layout}`);
    if (layout === 'adapter-hub') requireHubNames(base, method);
    checkFinite(adapter.tensors);
    const wanted = attach(base, [method]).state;
    const read = withoutWrappedBiases(named(adapter, method, base, wanted), method.name, wanted);
    const heads = adapter.layout === 'peft' ? [] : await headIn(adapter, base);
    const own = withoutAliases(new Map([...read, ...heads]), method, wanted);
    const stored = new Map(
      [...withoutRepeated(own, method, wanted)].map(([name, t]) => [
        name,
        asStored(base, name, t as AdapterTensorData),
      ]),
    );
    const kept = await withoutCopies(base, stored, wanted);
    const state = new Map([...kept].map(([name, t]) => [name, asHeld(t, wanted.get(name)?.dtype)]));
    return attach(base, [method], { state });
  } catch (cause) {
    if (cause instanceof PeftError) throw new PeftError(cause.code, `${files.name}: ${cause.message}`, { cause });
    throw cause;
  }
};
