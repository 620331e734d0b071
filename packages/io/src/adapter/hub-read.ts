import { PeftError } from '@peftjs/tensor';
import { joinPath } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import type { JsonObject } from '../json.ts';
import { readJsonObject } from '../read-json.ts';
import { listed } from '../report.ts';
import { configFile } from './files.ts';
import { type HubConfig, hubTorchWeightsFile, hubWeightsFile, parseHubConfig } from './hub-config.ts';
import { type AdapterTensor, readTensors } from './tensors.ts';

/** One adapter of adapter-hub/adapters, its tensors named as in the file. */
export interface HubFolder {
  readonly config: HubConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

/** Reads the folder of one adapter, the top one or one within. Throws `file-missing`, `bad-adapter`, `bad-safetensors`, `bad-torch`. */
export const readHubFolder = async (files: Files, folder = ''): Promise<HubFolder> => {
  const inFolder = (name: string): string => joinPath(folder, name);
  const problems: string[] = [];
  const json = await readJsonObject(files, inFolder(configFile), 'bad-adapter');
  const config = parseHubConfig(json as JsonObject, problems);
  if (!config)
    throw new PeftError(
      'bad-adapter',
      `${joinPath(files.name, inFolder(configFile))}: is not a sound adapter config:${listed(problems)}`,
    );
  const tensors = await readTensors(files, { safe: inFolder(hubWeightsFile), torch: inFolder(hubTorchWeightsFile) });
  return { config, tensors };
};
