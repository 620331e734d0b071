import { PeftError } from '@peftjs/tensor';
import type { FileContent } from '../files/file-content.ts';
import { joinPath } from '../files/file-path.ts';
import type { Files, Place } from '../files/files.ts';
import { filesAt, writable } from '../files/place.ts';
import { steady } from '../files/steady.ts';
import { isObject, type JsonObject } from '../json.ts';
import { listed, shownJson } from '../report.ts';
import { type AdapterHubModel, adapterHubVersion, isAdapterName } from './adapter-hub-config.ts';
import { ownName } from './adapter-hub-names.ts';
import { readConfig, type Seen } from './digest.ts';
import { configFile, textOf } from './files.ts';
import { pythonJson } from './python-json.ts';
import { type AdapterTensor, type AdapterTensorData, encodeTensors, readTensors } from './tensors.ts';

/** A head as adapter-hub/adapters describes it: beside an adapter, or alone in a folder. Written last of its files and read first. */
export const headConfigFile = 'head_config.json';

const headWeightsFile = 'model_head.safetensors';
const headTorchWeightsFile = 'pytorch_model_head.bin';

/** The description of a head, apart from its tensors. */
export interface AdapterHubHeadConfig {
  /** The class that it was saved from: `BertAdapterModel`, `BertForSequenceClassification`. */
  readonly modelClass: string;
  readonly modelType: string | null;
  readonly hiddenSize: number | null;
  /** The fields of a head of an `…AdapterModel`; null for the head of a class of transformers. */
  readonly config: JsonObject | null;
  /** Names of classes, by the number of the output; null where the file has none. */
  readonly labels: readonly string[] | null;
  /** How many classes the model's config says; null where the file does not tell. */
  readonly outputs: number | null;
}

/** A head with its tensors, which are named as in the model; those of an `…AdapterModel` `heads.default.1.weight`, whatever its name. */
export interface AdapterHubHead extends AdapterHubHeadConfig {
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

const known: readonly string[] = [
  'config',
  'hidden_size',
  'label2id',
  'model_class',
  'model_name',
  'model_type',
  'name',
  'num_labels',
  'version',
];

/** Names of classes in the order of their numbers, which are all from 0 on; what else it is goes to `problems`. */
const labelsOf = (label2id: unknown, problems: string[]): readonly string[] | null => {
  if (label2id === null || label2id === undefined) return null;
  const entries = isObject(label2id) ? Object.entries(label2id) : [];
  const ids = entries.map(([, id]) => (typeof id === 'string' && /^\d{1,9}$/.test(id) ? Number(id) : id));
  if (
    entries.length === 0 ||
    ids.some((id) => !Number.isInteger(id)) ||
    new Set(ids).size !== ids.length ||
    !ids.every((id) => (id as number) >= 0 && (id as number) < ids.length)
  ) {
    problems.push(`label2id is ${shownJson(label2id)}, and names of classes with the numbers from 0 on are wanted`);
    return null;
  }
  const names: string[] = [];
  for (const [i, [name]] of entries.entries()) names[ids[i] as number] = name;
  return names;
};

const countOf = (raw: JsonObject, key: string, problems: string[]): number | null => {
  const value = raw[key] ?? null;
  if (value === null || (Number.isSafeInteger(value) && (value as number) > 0)) return value as number | null;
  problems.push(`${key} is ${shownJson(value)}, not a count`);
  return null;
};

/** A `head_config.json`, with the head's name; undefined with its faults in `problems`. */
const parse = (
  raw: JsonObject,
  problems: string[],
): { readonly head: AdapterHubHeadConfig; readonly name: string | null } | undefined => {
  const { config = null, name = null } = raw;
  const fields = Object.keys(raw).filter((field) => !known.includes(field));
  if (fields.length > 0) problems.push(`there are fields that are not known here: ${fields.join(', ')}`);
  const [modelClass, modelType] = [textOf(raw, 'model_class', problems), textOf(raw, 'model_type', problems)];
  textOf(raw, 'model_name', problems);
  textOf(raw, 'version', problems);
  if (modelClass === null) problems.push('model_class is missing; it tells whose head it is');
  if (config !== null && !isObject(config))
    problems.push('config is neither null nor an object; it describes the head');
  if (config !== null && !isAdapterName(name)) problems.push(`name is ${shownJson(name)}, not the name of a head`);
  const inner = isObject(config) ? (config as JsonObject) : null;
  const labels = labelsOf(inner ? inner['label2id'] : raw['label2id'], problems);
  const outputs = inner ? countOf(inner, 'num_labels', problems) : countOf(raw, 'num_labels', problems);
  const hiddenSize = countOf(raw, 'hidden_size', problems);
  if (problems.length > 0) return undefined;
  return {
    head: { modelClass: modelClass!, modelType, hiddenSize, config: inner, labels, outputs },
    name: inner ? (name as string) : null,
  };
};

/** Tensors of a head by the names that they have here, whatever its own; others go to `problems`. */
const renamedHead = (
  tensors: ReadonlyMap<string, AdapterTensor>,
  name: string | null,
  problems: string[],
): ReadonlyMap<string, AdapterTensor> => {
  if (name === null) return tensors;
  const prefix = `heads.${name}.`;
  problems.push(
    ...[...tensors.keys()]
      .filter((key) => !key.startsWith(prefix))
      .map((key) => `${key} is not a tensor of the head ${name}`),
  );
  return new Map([...tensors].map(([key, tensor]) => [`heads.${ownName}.${key.slice(prefix.length)}`, tensor]));
};

/** The head in the folder of an adapter, or in one of several; null where it has none. Throws `bad-adapter`, `file-missing`, `bad-safetensors`, `bad-torch`. */
export const readHeadBeside = async (files: Files, seen: Seen, folder = ''): Promise<AdapterHubHead | null> => {
  const inFolder = (name: string): string => joinPath(folder, name);
  const weights = { safe: inFolder(headWeightsFile), torch: inFolder(headTorchWeightsFile) };
  const path = joinPath(files.name, inFolder(headConfigFile));
  if ((await files.size(inFolder(headConfigFile))) === null) {
    const sizes = await Promise.all([files.size(weights.safe), files.size(weights.torch)]);
    if (sizes.every((size) => size === null)) return null;
    throw new PeftError('file-missing', `${path}: is missing, and says what the tensors of the head beside it are`);
  }
  const problems: string[] = [];
  const parsed = parse(await readConfig(files, inFolder(headConfigFile), seen), problems);
  const tensors = parsed && renamedHead(await readTensors(files, weights, seen), parsed.name, problems);
  if (problems.length === 0) return { ...parsed!.head, tensors: tensors! };
  throw new PeftError('bad-adapter', `${path}: is not a sound head:${listed(problems)}`);
};

/**
 * Reads a head that adapter-hub/adapters saved, alone (`save_head`) or beside an adapter: `head_config.json` and `model_head.safetensors`, or `pytorch_model_head.bin`. Throws
 * `file-missing`; `bad-adapter` for the config; `bad-safetensors` or `bad-torch` for the weights; `read-failed`.
 */
export const readAdapterHubHead = async (dir: Place): Promise<AdapterHubHead> => {
  const files = await filesAt(dir);
  return steady(files, [headConfigFile], async () => {
    const head = await readHeadBeside(files, { sums: new Map(), configs: new Map() });
    if (head) return head;
    throw new PeftError(
      'file-missing',
      `${files.name}: has no ${headConfigFile}, so there is no head of the adapters library. Check the path; an adapter that was saved with_head=False has none.`,
    );
  });
};

/** A head to write. Its tensors are named as in the model. */
export interface AdapterHubHeadData {
  /** The fields of a head of an `…AdapterModel`; null for the head of a class of transformers. */
  readonly config: JsonObject | null;
  /** Names of classes; null for a head without. */
  readonly labels: readonly string[] | null;
  readonly tensors: ReadonlyMap<string, AdapterTensorData>;
}

/** The files of a head called `default`, its config last. */
export const headFiles = (
  dir: string,
  { config, labels, tensors }: AdapterHubHeadData,
  model: AdapterHubModel,
): Map<string, FileContent> => {
  const json: JsonObject = {
    config,
    hidden_size: model.hiddenSize,
    ...(config === null &&
      labels && {
        label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
        num_labels: labels.length,
      }),
    model_class: model.modelClass,
    model_name: model.name,
    model_type: model.modelType,
    name: config === null ? null : ownName,
    version: adapterHubVersion,
  };
  return new Map<string, FileContent>([
    [headWeightsFile, encodeTensors(joinPath(dir, headWeightsFile), tensors)],
    [headConfigFile, pythonJson(json)],
  ]);
};

/** Writes a head alone, as adapter-hub/adapters' `save_head` does. Throws `bad-adapter` where the folder holds an adapter, which is saved with its head; `write-failed`. */
export const writeAdapterHubHead = async (
  dir: Place,
  head: AdapterHubHeadData,
  model: AdapterHubModel,
): Promise<void> => {
  const to = writable(await filesAt(dir));
  if ((await to.size(configFile)) !== null)
    throw new PeftError(
      'bad-adapter',
      `${to.name}: holds an adapter, whose files tell of its head; choose another folder, or save the adapter anew`,
    );
  await to.write(headFiles(to.name, head, model));
};
