import { PeftError } from '@peftjs/tensor';
import { joinPath } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import { listed } from '../report.ts';
import {
  type AdapterHubConfig,
  adapterHubTorchWeightsFile,
  adapterHubWeightsFile,
  parseAdapterHubConfig,
} from './adapter-hub-config.ts';
import { readConfig, type Seen } from './digest.ts';
import { configFile } from './files.ts';
import { type AdapterTensor, readTensors } from './tensors.ts';

/** One adapter of adapter-hub/adapters, its tensors named as in the file. */
export interface AdapterHubFolder {
  readonly config: AdapterHubConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

/** Reads the folder of one adapter, the top one or one within. Throws `file-missing`, `bad-adapter`, `bad-safetensors`, `bad-torch`. */
export const readAdapterHubFolder = async (files: Files, seen: Seen, folder = ''): Promise<AdapterHubFolder> => {
  const inFolder = (name: string): string => joinPath(folder, name);
  const problems: string[] = [];
  const json = await readConfig(files, inFolder(configFile), seen);
  const config = parseAdapterHubConfig(json, problems);
  if (!config)
    throw new PeftError(
      'bad-adapter',
      `${joinPath(files.name, inFolder(configFile))}: is not a sound adapter config:${listed(problems)}`,
    );
  const tensors = await readTensors(
    files,
    { safe: inFolder(adapterHubWeightsFile), torch: inFolder(adapterHubTorchWeightsFile) },
    seen,
  );
  return { config, tensors };
};
