import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import type { JsonObject } from '../json.ts';
import { isFile, readJsonObject } from '../read-json.ts';
import { listed } from '../report.ts';
import { type AdapterConfig, type AdapterLayout, configFile, parsePeftConfig, weightsFile } from './files.ts';
import { ownName, renamed, withoutAliases } from './hub-names.ts';
import { readHubFolder } from './hub-read.ts';
import { readHubSetup, setupFile } from './hub-setup.ts';
import { type AdapterTensor, readTensors } from './tensors.ts';

/**
 * An adapter folder in memory. Tensor names are those of the file, `base_model.model.<path>.lora_A.weight`; in the layout of adapter-hub the
 * adapter is called `default` in them, whatever its name, unless it is one of several that are fused.
 */
export interface Adapter {
  readonly layout: AdapterLayout;
  readonly config: AdapterConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

const readPeft = async (dir: string, raw: JsonObject): Promise<Adapter> => {
  const problems: string[] = [];
  const config = parsePeftConfig(raw, problems);
  if (!config)
    throw new PeftError('bad-adapter', `${join(dir, configFile)}: is not a sound adapter config:${listed(problems)}`);
  if (!(await isFile(join(dir, weightsFile))) && (await isFile(join(dir, 'adapter_model.bin'))))
    throw new PeftError(
      'file-missing',
      `${dir}: has adapter_model.bin, which is not read, as it may run code. Convert it to ${weightsFile}.`,
    );
  return { layout: 'peft', config, tensors: await readTensors(join(dir, weightsFile)) };
};

const readHub = async (dir: string): Promise<Adapter> => {
  const { config, tensors } = await readHubFolder(dir);
  const problems: string[] = [];
  const own = withoutAliases(renamed(tensors, config.name, ownName, problems), problems);
  if (problems.length > 0)
    throw new PeftError('bad-adapter', `${dir}: has tensors that do not fit:${listed(problems)}`);
  return { layout: 'adapter-hub', config, tensors: own };
};

/**
 * Reads an adapter folder as huggingface/peft writes it, `adapter_config.json` and `adapter_model.safetensors`; or as adapter-hub/adapters
 * does, with `adapter.safetensors`, or with a folder for each of several fused adapters and `adapter_setup.json`.
 *
 * Throws `PeftError`: `file-missing`, `bad-adapter` for the config, `bad-safetensors` for the weights.
 */
export const readAdapter = async (dir: string): Promise<Adapter> => {
  const path = join(dir, configFile);
  const [single, fused] = await Promise.all([isFile(path), isFile(join(dir, setupFile))]);
  if (single && fused)
    throw new PeftError(
      'bad-adapter',
      `${dir}: has ${configFile} and ${setupFile}; remove the one that is not wanted.`,
    );
  if (fused) return { layout: 'adapter-hub', ...(await readHubSetup(dir)) };
  if (!single)
    throw new PeftError(
      'file-missing',
      `${dir}: has no ${configFile}, so it is not a whole adapter. Check the path or save the adapter again.`,
    );
  const raw = (await readJsonObject(path, 'bad-adapter')) as JsonObject;
  return raw['peft_type'] == null && 'config' in raw ? readHub(dir) : readPeft(dir, raw);
};
