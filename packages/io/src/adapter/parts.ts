import { PeftError } from '@peftjs/tensor';
import type { FileContent } from '../files/file-content.ts';
import { joinPath } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import type { JsonObject } from '../json.ts';
import { listed, shownJson } from '../report.ts';
import { readConfig, type Seen } from './digest.ts';
import { type AdapterFileConfig, configFile, parsePeftConfig, torchWeightsFile, weightsFile } from './files.ts';
import { pythonJson } from './python-json.ts';
import { type AdapterTensor, type AdapterTensorData, encodeTensors, readTensors } from './tensors.ts';

/** Marks a folder of adapters of huggingface/peft that act together: one folder each, in the order in which they are loaded. */
export const partsFile = 'adapter_parts.json';

/** One of several adapters to save. */
export interface AdapterPart {
  /** Its folder's. */
  readonly name: string;
  readonly config: JsonObject;
  readonly tensors: ReadonlyMap<string, AdapterTensorData>;
}

/** One of several adapters as read. */
export interface NamedAdapter {
  readonly name: string;
  readonly config: AdapterFileConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

/** Whether a text may name one of several adapters: it becomes a part of tensors' names and of a folder's. */
const isPartName = (name: unknown): name is string => typeof name === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(name);

/** The files of adapters that act together, the mark last; what is wrong goes to `problems`. */
export const partsFiles = (
  dir: string,
  parts: readonly AdapterPart[],
  problems: string[],
): { readonly first: AdapterFileConfig | undefined; readonly files: Map<string, FileContent> } => {
  const files = new Map<string, FileContent>();
  const names = parts.map(({ name }) => name);
  if (!names.every(isPartName) || new Set(names).size !== names.length)
    problems.push(
      `${shownJson(names)} cannot be folders of their own: letters, digits, _ and - are needed, each name once`,
    );
  let first: AdapterFileConfig | undefined;
  for (const { name, config, tensors } of parts) {
    const own: string[] = [];
    first ??= parsePeftConfig(config, own);
    if (tensors.size === 0) own.push('there are no tensors to save');
    problems.push(...own.map((problem) => `${name}: ${problem}`));
    files.set(`${name}/${weightsFile}`, encodeTensors(joinPath(dir, `${name}/${weightsFile}`), tensors));
    files.set(`${name}/${configFile}`, pythonJson(config));
  }
  files.set(partsFile, pythonJson({ parts: names }));
  return { first, files };
};

/** Reads the adapters of such a folder, in order. Throws `file-missing`, `bad-adapter`, `bad-safetensors`, `bad-torch`. */
export const readParts = async (files: Files, seen: Seen): Promise<readonly NamedAdapter[]> => {
  const names = (await readConfig(files, partsFile, seen))['parts'];
  const mark = joinPath(files.name, partsFile);
  if (!Array.isArray(names) || names.length === 0 || !names.every(isPartName) || new Set(names).size !== names.length)
    throw new PeftError('bad-adapter', `${mark}: parts must list different names of folders, got ${shownJson(names)}`);
  const parts: NamedAdapter[] = [];
  for (const name of names) {
    const problems: string[] = [];
    const config = parsePeftConfig(await readConfig(files, `${name}/${configFile}`, seen), problems);
    if (!config)
      throw new PeftError(
        'bad-adapter',
        `${joinPath(files.name, name)}: is not a sound adapter config:${listed(problems)}`,
      );
    const weights = { safe: `${name}/${weightsFile}`, torch: `${name}/${torchWeightsFile}` };
    parts.push({ name, config, tensors: await readTensors(files, weights, seen) });
  }
  return parts;
};
