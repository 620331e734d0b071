import { PeftError } from '@peftjs/tensor';
import type { FileContent } from '../files/file-content.ts';
import { joinPath } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import { isObject, type JsonObject, type JsonValue } from '../json.ts';
import { listed } from '../report.ts';
import {
  type AdapterHubModel,
  adapterHubConfigJson,
  adapterHubFloats,
  adapterHubVersion,
  adapterHubWeightsFile,
  isAdapterName,
} from './adapter-hub-config.ts';
import { renamed } from './adapter-hub-names.ts';
import { readAdapterHubFolder } from './adapter-hub-read.ts';
import { readConfig, type Seen } from './digest.ts';
import { type AdapterFileConfig, configFile } from './files.ts';
import { pythonJson } from './python-json.ts';
import { type AdapterTensor, type AdapterTensorData, encodeTensors, readTensors } from './tensors.ts';

/** Marks a folder of adapters that are fused: one folder each, and one for the fusion. */
export const setupFile = 'adapter_setup.json';
const fusionConfigFile = 'adapter_fusion_config.json';
const fusionWeightsFile = 'model_adapter_fusion.safetensors';
const fusionTorchWeightsFile = 'pytorch_model_adapter_fusion.bin';

/** The `architecture` that a fusion has here, where adapter-hub/adapters has files of their own for it. */
export const fuse = 'fuse';

type FusedAdapter = { readonly name: string; readonly config: JsonObject };

const single = (name: string): JsonValue => ({ type: 'single', children: [name] });

const childNames = (setup: unknown): readonly string[] | null => {
  if (!isObject(setup) || setup['type'] !== 'Fuse' || !Array.isArray(setup['children'])) return null;
  const names = setup['children'].map((c) =>
    isObject(c) && c['type'] === 'single' && Array.isArray(c['children']) && c['children'].length === 1
      ? c['children'][0]
      : null,
  );
  return names.length > 0 && names.every(isAdapterName) && new Set(names).size === names.length ? names : null;
};

/**
 * Fused adapters: `config` is `{ architecture: 'fuse', adapters: [{ name, config }], fusion }`, tensors are those of all files. Throws `file-missing`, `bad-adapter`, `bad-safetensors`, `bad-torch`.
 */
export const readAdapterHubSetup = async (
  files: Files,
  seen: Seen,
): Promise<{ readonly config: AdapterFileConfig; readonly tensors: ReadonlyMap<string, AdapterTensor> }> => {
  const names = childNames((await readConfig(files, setupFile, seen))['adapter_setup']);
  if (!names)
    throw new PeftError(
      'bad-adapter',
      `${joinPath(files.name, setupFile)}: adapter_setup must be a Fuse of single adapters, each with a name.`,
    );
  const tensors = new Map<string, AdapterTensor>();
  const adapters: FusedAdapter[] = [];
  const problems: string[] = [];
  let baseModel: string | null = null;
  for (const name of names) {
    const folder = await readAdapterHubFolder(files, seen, name);
    if (folder.config.name !== name) problems.push(`the adapter in ${name} is called ${folder.config.name}`);
    adapters.push({ name, config: folder.config.raw });
    baseModel ??= folder.config.baseModel;
    for (const [key, tensor] of renamed(folder.tensors, name, name, problems)) tensors.set(key, tensor);
  }
  const fused = names.join(',');
  const { config: fusion } = await readConfig(files, joinPath(fused, fusionConfigFile), seen);
  if (!isObject(fusion)) problems.push(`config in ${fusionConfigFile} is not an object`);
  const weights = { safe: joinPath(fused, fusionWeightsFile), torch: joinPath(fused, fusionTorchWeightsFile) };
  for (const [key, tensor] of await readTensors(files, weights, seen)) {
    if (!key.includes(`.adapter_fusion_layer.${fused}.`)) problems.push(`${key} is not a tensor of the fusion`);
    tensors.set(key, tensor);
  }
  if (problems.length > 0)
    throw new PeftError('bad-adapter', `${files.name}: is not a sound adapter setup:${listed(problems)}`);
  const raw = { architecture: fuse, adapters, fusion: fusion as JsonObject };
  return { config: { method: fuse, taskType: null, baseModel, raw }, tensors };
};

/** The files of fused adapters, the mark last. Throws `bad-adapter`. */
export const adapterHubSetupFiles = (
  dir: string,
  config: JsonObject,
  model: AdapterHubModel,
  tensors: ReadonlyMap<string, AdapterTensorData>,
): Map<string, FileContent> => {
  const adapters = (config['adapters'] ?? []) as readonly FusedAdapter[];
  const names = adapters.map(({ name }) => name);
  const fused = names.join(',');
  const files = new Map<string, FileContent>();
  const left = new Map(tensors);
  const odd = names.flatMap((n) => (isAdapterName(n) ? [] : [`${JSON.stringify(n)} cannot name an adapter`]));
  const add = (folder: string, weightsFile: string, jsonFile: string, infix: string, json: JsonObject): void => {
    const own = new Map([...left].filter(([key]) => key.includes(infix)));
    for (const key of own.keys()) left.delete(key);
    if (own.size === 0) odd.push(`there are no tensors of ${folder}`);
    files.set(`${folder}/${weightsFile}`, encodeTensors(joinPath(dir, `${folder}/${weightsFile}`), own));
    files.set(`${folder}/${jsonFile}`, pythonJson(json, adapterHubFloats));
  };
  for (const { name, config: own } of adapters)
    add(name, adapterHubWeightsFile, configFile, `.adapters.${name}.`, adapterHubConfigJson(name, own, model));
  add(fused, fusionWeightsFile, fusionConfigFile, `.adapter_fusion_layer.${fused}.`, {
    ...adapterHubConfigJson(fused, config['fusion'] as JsonObject, model),
    adapter_names: names,
  });
  odd.push(...[...left.keys()].map((key) => `${key} belongs to none of them`));
  if (odd.length > 0) throw new PeftError('bad-adapter', `${dir}: the setup cannot be saved:${listed(odd)}`);
  const setup = { type: 'Fuse', children: names.map(single) };
  files.set(setupFile, pythonJson({ adapter_setup: setup, head_setup: null, version: adapterHubVersion }));
  return files;
};
