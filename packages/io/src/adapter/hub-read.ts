import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import type { JsonObject } from '../json.ts';
import { isFile, readJsonObject } from '../read-json.ts';
import { listed } from '../report.ts';
import { configFile } from './files.ts';
import { type HubConfig, hubWeightsFile, parseHubConfig } from './hub-config.ts';
import { type AdapterTensor, readTensors } from './tensors.ts';

/** One adapter of adapter-hub/adapters, its tensors named as in the file. */
export interface HubFolder {
  readonly config: HubConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

/** Reads the folder of one adapter. Throws `file-missing`, `bad-adapter`, `bad-safetensors`. */
export const readHubFolder = async (dir: string): Promise<HubFolder> => {
  const path = join(dir, configFile);
  const problems: string[] = [];
  const config = parseHubConfig((await readJsonObject(path, 'bad-adapter')) as JsonObject, problems);
  if (!config) throw new PeftError('bad-adapter', `${path}: is not a sound adapter config:${listed(problems)}`);
  if (!(await isFile(join(dir, hubWeightsFile))) && (await isFile(join(dir, 'pytorch_adapter.bin'))))
    throw new PeftError(
      'file-missing',
      `${dir}: has pytorch_adapter.bin, which is not read, as it may run code. Save it again with use_safetensors.`,
    );
  return { config, tensors: await readTensors(join(dir, hubWeightsFile)) };
};
