import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import type { JsonObject } from '../json.ts';
import { isFile } from '../read-json.ts';
import { listed } from '../report.ts';
import { type FileContent, writeDirAtomic } from '../write-atomic.ts';
import { modelCard } from './card.ts';
import { type AdapterConfig, type AdapterLayout, configFile, parsePeftConfig, weightsFile } from './files.ts';
import { type HubModel, hubConfigJson, hubFloats, hubWeightsFile, parseHubConfig } from './hub-config.ts';
import { ownName, renamed } from './hub-names.ts';
import { fuse, hubSetupFiles, setupFile } from './hub-setup.ts';
import { pythonJson } from './python-json.ts';
import { type AdapterTensorData, encodeTensors } from './tensors.ts';

type Tensors = ReadonlyMap<string, AdapterTensorData>;

const refuse = (dir: string, problems: readonly string[]): never => {
  throw new PeftError('bad-adapter', `${dir}: the adapter cannot be saved:${listed(problems)}`);
};

/** The last of the files is the mark; the other layout's mark must not be there. */
const write = async (
  dir: string,
  layout: AdapterLayout,
  config: AdapterConfig,
  files: ReadonlyMap<string, FileContent>,
): Promise<void> => {
  const other = files.has(setupFile) ? configFile : setupFile;
  if (await isFile(join(dir, other))) refuse(dir, [`there is another adapter: ${other}. Choose another folder`]);
  const card = (await isFile(join(dir, 'README.md'))) ? [] : [['README.md', modelCard(layout, config)] as const];
  await writeDirAtomic(dir, new Map<string, FileContent>([...card, ...files]));
};

/**
 * Writes an adapter folder as huggingface/peft does: `adapter_model.safetensors` and `adapter_config.json` with sorted
 * keys, and a short README.md if there is none. `config` is the content of the latter file and must have `peft_type`.
 * The config is written last: the folder holds the old adapter, or none that counts as whole, or the new one; see
 * `writeDirAtomic`. Other files in it are not touched.
 *
 * Throws `PeftError`: `bad-adapter` with all that is wrong with the config, `bad-option` for tensors that contradict
 * their shape, `write-failed`.
 */
export const writeAdapter = async (dir: string, config: JsonObject, tensors: Tensors): Promise<void> => {
  const problems: string[] = [];
  const parsed = parsePeftConfig(config, problems);
  if (tensors.size === 0) problems.push('there are no tensors to save');
  if (!parsed || problems.length > 0) return refuse(dir, problems);
  const weights = encodeTensors(join(dir, weightsFile), tensors);
  await write(
    dir,
    'peft',
    parsed,
    new Map([[weightsFile, weights] as const, [configFile, pythonJson(config)] as const]),
  );
};

/**
 * Writes an adapter folder as adapter-hub/adapters does: `adapter.safetensors` and `adapter_config.json`, in which `config` describes the
 * method; names of tensors hold the adapter's, `default`. With `{ architecture: 'fuse', adapters, fusion }` (see `readAdapter`) a folder
 * for each adapter and one for their fusion, and `adapter_setup.json`. The guarantees and errors are those of `writeAdapter`.
 */
export const writeHubAdapter = async (
  dir: string,
  config: JsonObject,
  model: HubModel,
  tensors: Tensors,
): Promise<void> => {
  const json = hubConfigJson(ownName, config, model);
  const problems: string[] = [];
  const parsed = parseHubConfig(json, problems);
  if (tensors.size === 0) problems.push('there are no tensors to save');
  const fused = parsed?.method === fuse;
  if (!fused) renamed(tensors, ownName, ownName, problems);
  if (!parsed || problems.length > 0) return refuse(dir, problems);
  const files = fused
    ? hubSetupFiles(dir, config, model, tensors)
    : new Map<string, FileContent>([
        [hubWeightsFile, encodeTensors(join(dir, hubWeightsFile), tensors)],
        [configFile, pythonJson(json, hubFloats)],
      ]);
  await write(dir, 'adapter-hub', parsed, files);
};
