import { PeftError } from '@peftjs/tensor';
import { joinPath } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import { listed } from '../report.ts';
import { readConfig, type Seen } from './digest.ts';
import { configFile } from './files.ts';
import { type HubConfig, hubTorchWeightsFile, hubWeightsFile, parseHubConfig } from './hub-config.ts';
import { type AdapterTensor, readTensors } from './tensors.ts';

/** One adapter of adapter-hub/adapters, its tensors named as in the file. */
export interface HubFolder {
  readonly config: HubConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

/** Reads the folder of one adapter, the top one or one within. Throws `file-missing`, `bad-adapter`, `bad-safetensors`, `bad-torch`. */
export const readHubFolder = async (files: Files, seen: Seen, folder = ''): Promise<HubFolder> => {
  const inFolder = (name: string): string => joinPath(folder, name);
  const problems: string[] = [];
  const json = await readConfig(files, inFolder(configFile), seen);
  const config = parseHubConfig(json, problems);
  if (!config)
    throw new PeftError(
      'bad-adapter',
      `${joinPath(files.name, inFolder(configFile))}: is not a sound adapter config:${listed(problems)}`,
    );
  const tensors = await readTensors(
    files,
    { safe: inFolder(hubWeightsFile), torch: inFolder(hubTorchWeightsFile) },
    seen,
  );
  return { config, tensors };
};
