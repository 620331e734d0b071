import { PeftError } from '@peftjs/tensor';
import type { FileContent } from '../files/file-content.ts';
import { joinPath } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import { isObject, type JsonObject } from '../json.ts';
import { listed } from '../report.ts';
import {
  type AdapterHubModel,
  adapterHubConfigJson,
  adapterHubFloats,
  adapterHubVersion,
  adapterHubWeightsFile,
  isAdapterName,
} from './adapter-hub-config.ts';
import { type AdapterHubHead, readHeadBeside } from './adapter-hub-head.ts';
import { ownName, renamed, withoutAliases } from './adapter-hub-names.ts';
import { readAdapterHubFolder } from './adapter-hub-read.ts';
import { readConfig, type Seen } from './digest.ts';
import { type AdapterFileConfig, configFile } from './files.ts';
import { pythonJson } from './python-json.ts';
import { type AdapterTensor, type AdapterTensorData, encodeTensors, readTensors } from './tensors.ts';

/** Marks a folder of several adapters: one folder each, and one for each fusion of some. */
export const setupFile = 'adapter_setup.json';
const fusionConfigFile = 'adapter_fusion_config.json';
const fusionWeightsFile = 'model_adapter_fusion.safetensors';
const fusionTorchWeightsFile = 'pytorch_model_adapter_fusion.bin';

/** The `architecture` that a fusion has here, where adapter-hub/adapters has files of their own for it. */
const fuse = 'fuse';

/** The same of any other block. */
const block = 'block';

/** Blocks stand in blocks so deep at most: the library takes no more than three. */
const maxDepth = 4;

/** Whether a configuration is that of several adapters, which have a folder each. */
export const isSetup = ({ architecture }: JsonObject): boolean => architecture === fuse || architecture === block;

/** An adapter or a block in a block, with its name among the others. */
interface Child {
  readonly name: string;
  readonly config: JsonObject;
}

/** The configuration and the tensors of a node of a setup. */
interface Held {
  readonly config: JsonObject;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  readonly baseModel: string | null;
}

const single = (name: string): JsonObject => ({ type: 'single', children: [name] });

/** The name of a node that is one adapter; null for a block. */
const singleName = (node: unknown): string | null => {
  if (!isObject(node) || node['type'] !== 'single' || !Array.isArray(node['children'])) return null;
  const [name, ...more] = node['children'];
  return more.length === 0 && isAdapterName(name) ? name : null;
};

const areNames = (names: readonly (string | null)[]): names is readonly string[] =>
  names.length > 0 && names.every((name) => name !== null) && new Set(names).size === names.length;

/** Reads the folders of a setup. */
interface Reader {
  readonly files: Files;
  readonly seen: Seen;
  readonly problems: string[];
  /** Those of classes of transformers that the library put beside each adapter. */
  readonly heads: AdapterHubHead[];
}

const readSingle = async ({ files, seen, problems, heads }: Reader, name: string, as: string): Promise<Held> => {
  const folder = await readAdapterHubFolder(files, seen, name);
  if (folder.config.name !== name) problems.push(`the adapter in ${name} is called ${folder.config.name}`);
  const head = await readHeadBeside(files, seen, name);
  if (head?.config) problems.push(`the adapter in ${name} has a head of its own, and several heads are not read here`);
  else if (head && heads.some((other) => !isSame(other.tensors as Tensors, head.tensors as Tensors)))
    problems.push(`the adapter in ${name} has another head than those before it`);
  else if (head) heads.push(head);
  const tensors = renamed(folder.tensors, name, as, problems);
  return {
    config: folder.config.raw,
    tensors: as === ownName ? withoutAliases(tensors, problems) : tensors,
    baseModel: folder.config.baseModel,
  };
};

const readFusion = async (reader: Reader, names: readonly string[]): Promise<Held> => {
  const { files, seen, problems } = reader;
  const tensors = new Map<string, AdapterTensor>();
  const adapters: Child[] = [];
  let baseModel: string | null = null;
  for (const name of names) {
    const own = await readSingle(reader, name, name);
    adapters.push({ name, config: own.config });
    baseModel ??= own.baseModel;
    for (const [key, tensor] of own.tensors) tensors.set(key, tensor);
  }
  const fused = names.join(',');
  const { config: fusion } = await readConfig(files, joinPath(fused, fusionConfigFile), seen);
  if (!isObject(fusion)) problems.push(`config in ${fusionConfigFile} is not an object`);
  const weights = { safe: joinPath(fused, fusionWeightsFile), torch: joinPath(fused, fusionTorchWeightsFile) };
  for (const [key, tensor] of await readTensors(files, weights, seen)) {
    if (!key.includes(`.adapter_fusion_layer.${fused}.`)) problems.push(`${key} is not a tensor of the fusion`);
    tensors.set(key, tensor);
  }
  const config = { architecture: fuse, adapters, fusion: fusion as JsonObject } as unknown as JsonObject;
  return { config, tensors, baseModel };
};

const unsound = ({ files }: Reader): PeftError =>
  new PeftError(
    'bad-adapter',
    `${joinPath(files.name, setupFile)}: adapter_setup must be a Fuse of single adapters, each with a name, or another block of adapters or blocks.`,
  );

/** A block: tensors of each child under its name, a dot and their own. */
const readNode = async (reader: Reader, node: unknown, depth: number): Promise<Held> => {
  const alone = singleName(node);
  if (alone !== null) return readSingle(reader, alone, ownName);
  if (!isObject(node) || typeof node['type'] !== 'string' || !Array.isArray(node['children']) || depth > maxDepth)
    throw unsound(reader);
  const given: readonly unknown[] = node['children'];
  if (node['type'] === 'Fuse') {
    const names = given.map(singleName);
    if (!areNames(names)) throw unsound(reader);
    return readFusion(reader, names);
  }
  const names = given.map((child, i) =>
    isObject(child) ? (singleName(child) ?? `${String(child['type']).toLowerCase()}${i + 1}`) : null,
  );
  if (!areNames(names) || !names.every(isAdapterName)) throw unsound(reader);
  const tensors = new Map<string, AdapterTensor>();
  const children: Child[] = [];
  let baseModel: string | null = null;
  for (const [i, name] of names.entries()) {
    const own = await readNode(reader, given[i], depth + 1);
    children.push({ name, config: own.config });
    baseModel ??= own.baseModel;
    for (const [key, tensor] of own.tensors) tensors.set(`${name}.${key}`, tensor);
  }
  const kwargs = isObject(node['kwargs']) ? (node['kwargs'] as JsonObject) : {};
  const config = { architecture: block, type: node['type'], kwargs, children } as unknown as JsonObject;
  return { config, tensors, baseModel };
};

/**
 * Several adapters: of fused ones `config` is `{ architecture: 'fuse', adapters: [{ name, config }], fusion }`, of other blocks
 * `{ architecture: 'block', type: 'Stack', kwargs, children: [{ name, config }] }`, where names of tensors begin with the child's. Throws
 * `file-missing`, `bad-adapter`, `bad-safetensors`, `bad-torch`.
 */
export const readAdapterHubSetup = async (
  files: Files,
  seen: Seen,
): Promise<{
  readonly config: AdapterFileConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  readonly head: AdapterHubHead | null;
}> => {
  const reader: Reader = { files, seen, problems: [], heads: [] };
  const { adapter_setup: setup, head_setup: heads = null } = await readConfig(files, setupFile, seen);
  if (heads !== null && heads !== false)
    throw new PeftError(
      'bad-adapter',
      `${joinPath(files.name, setupFile)}: head_setup is not null, and heads of a setup are not read here; save each adapter alone with its head`,
    );
  if (singleName(setup) !== null) throw unsound(reader);
  const { config: raw, tensors, baseModel } = await readNode(reader, setup, 1);
  if (reader.problems.length > 0)
    throw new PeftError('bad-adapter', `${files.name}: is not a sound adapter setup:${listed(reader.problems)}`);
  return {
    config: { method: String(raw['architecture']), taskType: null, baseModel, raw },
    tensors,
    head: reader.heads[0] ?? null,
  };
};

type Tensors = ReadonlyMap<string, AdapterTensorData>;

/** The files of a setup as they gather, and what is wrong with it. */
interface Writer {
  readonly dir: string;
  readonly model: AdapterHubModel;
  readonly files: Map<string, FileContent>;
  /** The values of each folder: two parts of one name must hold the same. */
  readonly held: Map<string, Tensors>;
  readonly odd: string[];
}

const isSame = (a: Tensors, b: Tensors): boolean =>
  a.size === b.size &&
  [...a].every(([key, { shape, data }]) => {
    const other = b.get(key);
    return String(other?.shape) === String(shape) && data.every((v, i) => v === other!.data[i]);
  });

const addFolder = (
  { dir, files, held, odd }: Writer,
  [folder, weightsFile, jsonFile]: readonly [folder: string, weightsFile: string, jsonFile: string],
  json: JsonObject,
  own: Tensors,
): void => {
  if (own.size === 0) odd.push(`there are no tensors of ${folder}`);
  const before = held.get(folder);
  if (before && !isSame(before, own))
    odd.push(`two parts are called ${folder} and hold other values; call one of them otherwise`);
  held.set(folder, own);
  files.set(`${folder}/${weightsFile}`, encodeTensors(joinPath(dir, `${folder}/${weightsFile}`), own));
  files.set(`${folder}/${jsonFile}`, pythonJson(json, adapterHubFloats));
};

const addSingle = (writer: Writer, { name, config }: Child, tensors: Tensors): JsonObject => {
  const own = renamed(tensors, ownName, name, writer.odd);
  if (!isAdapterName(name)) writer.odd.push(`${JSON.stringify(name)} cannot name an adapter`);
  const at = [name, adapterHubWeightsFile, configFile] as const;
  addFolder(writer, at, adapterHubConfigJson(name, config, writer.model), own);
  return single(name);
};

const addFusion = (writer: Writer, config: JsonObject, tensors: Tensors): JsonObject => {
  const adapters = (config['adapters'] ?? []) as unknown as readonly Child[];
  const names = adapters.map(({ name }) => name);
  const fused = names.join(',');
  const left = new Map(tensors);
  const taken = (infix: string): Tensors => {
    const own = new Map([...left].filter(([key]) => key.includes(infix)));
    for (const key of own.keys()) left.delete(key);
    return own;
  };
  writer.odd.push(...names.flatMap((n) => (isAdapterName(n) ? [] : [`${JSON.stringify(n)} cannot name an adapter`])));
  for (const { name, config: own } of adapters)
    addFolder(
      writer,
      [name, adapterHubWeightsFile, configFile],
      adapterHubConfigJson(name, own, writer.model),
      taken(`.adapters.${name}.`),
    );
  const fusion = {
    ...adapterHubConfigJson(fused, config['fusion'] as JsonObject, writer.model),
    adapter_names: names,
  };
  addFolder(writer, [fused, fusionWeightsFile, fusionConfigFile], fusion, taken(`.adapter_fusion_layer.${fused}.`));
  writer.odd.push(...[...left.keys()].map((key) => `${key} belongs to none of them`));
  return { type: 'Fuse', children: names.map(single) };
};

const addNode = (writer: Writer, child: Child, tensors: Tensors): JsonObject => {
  const { config } = child;
  if (config['architecture'] === fuse) return addFusion(writer, config, tensors);
  if (config['architecture'] !== block) return addSingle(writer, child, tensors);
  const left = new Map(tensors);
  const children = (config['children'] as unknown as readonly Child[]).map((part) => {
    const prefix = `${part.name}.`;
    const own = [...left].filter(([key]) => key.startsWith(prefix));
    for (const [key] of own) left.delete(key);
    return addNode(writer, part, new Map(own.map(([key, tensor]) => [key.slice(prefix.length), tensor])));
  });
  writer.odd.push(...[...left.keys()].map((key) => `${key} belongs to none of them`));
  const kwargs = config['kwargs'] as JsonObject;
  return { type: config['type']!, children, ...(Object.keys(kwargs).length > 0 && { kwargs }) };
};

/** The files of several adapters, the mark last. Throws `bad-adapter`. */
export const adapterHubSetupFiles = (
  dir: string,
  config: JsonObject,
  model: AdapterHubModel,
  tensors: Tensors,
): Map<string, FileContent> => {
  const writer: Writer = { dir, model, files: new Map(), held: new Map(), odd: [] };
  const setup = addNode(writer, { name: '', config }, tensors);
  if (writer.odd.length > 0)
    throw new PeftError('bad-adapter', `${dir}: the setup cannot be saved:${listed(writer.odd)}`);
  writer.files.set(setupFile, pythonJson({ adapter_setup: setup, head_setup: null, version: adapterHubVersion }));
  return writer.files;
};
