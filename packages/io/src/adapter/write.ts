import { PeftError } from '@peftjs/tensor';
import type { FileContent } from '../files/file-content.ts';
import { joinPath } from '../files/file-path.ts';
import type { Place, WritableFiles } from '../files/files.ts';
import { filesAt, writable } from '../files/place.ts';
import type { JsonObject } from '../json.ts';
import { listed } from '../report.ts';
import {
  type AdapterHubModel,
  adapterHubConfigJson,
  adapterHubFloats,
  adapterHubWeightsFile,
  parseAdapterHubConfig,
} from './adapter-hub-config.ts';
import { type AdapterHubHeadData, headConfigFile, headFiles } from './adapter-hub-head.ts';
import { ownName, renamed } from './adapter-hub-names.ts';
import { adapterHubSetupFiles, isSetup } from './adapter-hub-setup.ts';
import { modelCard } from './card.ts';
import { withDigest } from './digest.ts';
import { type AdapterFileConfig, type AdapterLayout, configFile, parsePeftConfig, weightsFile } from './files.ts';
import { type AdapterPart, partsFiles } from './parts.ts';
import { pythonJson } from './python-json.ts';
import { marks } from './read.ts';
import { type AdapterTensorData, encodeTensors } from './tensors.ts';

type Tensors = ReadonlyMap<string, AdapterTensorData>;

const refuse = (dir: string, problems: readonly string[]): never => {
  throw new PeftError('bad-adapter', `${dir}: the adapter cannot be saved:${listed(problems)}`);
};

/** Writes files of which the last is the mark; the other layout's mark must not be there. */
const write = async (
  to: WritableFiles,
  layout: AdapterLayout,
  config: AdapterFileConfig,
  files: ReadonlyMap<string, FileContent>,
  parts: readonly string[] = [],
): Promise<void> => {
  for (const other of marks.filter((mark) => !files.has(mark)))
    if ((await to.size(other)) !== null) refuse(to.name, [`there is another adapter: ${other}. Choose another folder`]);
  const card = (await to.size('README.md')) !== null ? [] : [['README.md', modelCard(layout, config, parts)] as const];
  await to.write(new Map<string, FileContent>([...card, ...withDigest(files)]));
};

/**
 * Writes an adapter folder as huggingface/peft does: `adapter_model.safetensors` and `adapter_config.json` with sorted
 * keys, and a short README.md if there is none. `config` is the content of the latter file and must have `peft_type`.
 * Beside them `adapter_digest.json` tells which weights and config were saved together. The folder holds the old adapter or the new one,
 * whenever the process is killed, and of two who save at once one comes after the other; see `writeDirAtomic`. Other files in it are not
 * touched.
 *
 * Throws `PeftError`: `bad-adapter` with all that is wrong with the config, `bad-option` for tensors that contradict
 * their shape, `write-failed`.
 */
export const writeAdapter = async (dir: Place, config: JsonObject, tensors: Tensors): Promise<void> => {
  const to = writable(await filesAt(dir));
  const problems: string[] = [];
  const parsed = parsePeftConfig(config, problems);
  if (tensors.size === 0) problems.push('there are no tensors to save');
  if (!parsed || problems.length > 0) return refuse(to.name, problems);
  const weights = encodeTensors(joinPath(to.name, weightsFile), tensors);
  await write(
    to,
    'peft',
    parsed,
    new Map([[weightsFile, weights] as const, [configFile, pythonJson(config)] as const]),
  );
};

/**
 * Writes several adapters of huggingface/peft that act together: each as that library does into a folder of its name, and
 * `adapter_parts.json`, which lists them in order. The guarantees and errors are those of `writeAdapter`.
 */
export const writeAdapters = async (dir: Place, parts: readonly AdapterPart[]): Promise<void> => {
  const to = writable(await filesAt(dir));
  const problems: string[] = [];
  const { first, files } = partsFiles(to.name, parts, problems);
  if (!first || problems.length > 0) return refuse(to.name, problems);
  const names = parts.map(({ name }) => name);
  const method = parts.map(({ config }) => config['peft_type']).join(' + ');
  await write(to, 'peft', { ...first, method }, files, names);
};

/**
 * Writes an adapter folder as adapter-hub/adapters does: `adapter.safetensors` and `adapter_config.json`, in which `config` describes the
 * method; names of tensors hold the adapter's, `default`. With `{ architecture: 'fuse', adapters, fusion }` or
 * `{ architecture: 'block', type, kwargs, children }` (see `readAdapter`) a folder for each adapter, one for each fusion, and
 * `adapter_setup.json`. `head` is the task's own, which goes into files beside the adapter's: `model_head.safetensors` and `head_config.json`; several adapters have none. The
 * guarantees and errors are those of `writeAdapter`.
 */
export const writeAdapterHub = async (
  dir: Place,
  config: JsonObject,
  model: AdapterHubModel,
  tensors: Tensors,
  head: AdapterHubHeadData | null = null,
): Promise<void> => {
  const to = writable(await filesAt(dir));
  const json = adapterHubConfigJson(ownName, config, model);
  const problems: string[] = [];
  const parsed = parseAdapterHubConfig(json, problems);
  if (tensors.size === 0) problems.push('there are no tensors to save');
  const several = isSetup(config);
  if (!several) renamed(tensors, ownName, ownName, problems);
  else if (head) problems.push('several adapters in one folder have no place for a head; save each alone');
  if (!head && (await to.size(headConfigFile)) !== null)
    problems.push(`there is a head of another adapter: ${headConfigFile}. Choose another folder`);
  if (!parsed || problems.length > 0) return refuse(to.name, problems);
  const files = several
    ? adapterHubSetupFiles(to.name, config, model, tensors)
    : new Map<string, FileContent>([
        ...(head ? headFiles(to.name, head, model) : []),
        [adapterHubWeightsFile, encodeTensors(joinPath(to.name, adapterHubWeightsFile), tensors)],
        [configFile, pythonJson(json, adapterHubFloats)],
      ]);
  await write(to, 'adapter-hub', parsed, files);
};
