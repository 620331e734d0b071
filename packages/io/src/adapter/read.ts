import { PeftError } from '@peftjs/tensor';
import { joinPath } from '../files/file-path.ts';
import type { Files, Place } from '../files/files.ts';
import { filesAt } from '../files/place.ts';
import type { JsonObject } from '../json.ts';
import { readJsonObject } from '../read-json.ts';
import { listed } from '../report.ts';
import {
  type AdapterConfig,
  type AdapterLayout,
  configFile,
  parsePeftConfig,
  torchWeightsFile,
  weightsFile,
} from './files.ts';
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

const readPeft = async (files: Files, raw: JsonObject): Promise<Adapter> => {
  const problems: string[] = [];
  const config = parsePeftConfig(raw, problems);
  if (!config)
    throw new PeftError(
      'bad-adapter',
      `${joinPath(files.name, configFile)}: is not a sound adapter config:${listed(problems)}`,
    );
  const tensors = await readTensors(files, { safe: weightsFile, torch: torchWeightsFile });
  return { layout: 'peft', config, tensors };
};

const readHub = async (files: Files): Promise<Adapter> => {
  const { config, tensors } = await readHubFolder(files);
  const problems: string[] = [];
  const own = withoutAliases(renamed(tensors, config.name, ownName, problems), problems);
  if (problems.length > 0)
    throw new PeftError('bad-adapter', `${files.name}: has tensors that do not fit:${listed(problems)}`);
  return { layout: 'adapter-hub', config, tensors: own };
};

/**
 * Reads an adapter folder as huggingface/peft writes it, `adapter_config.json` and `adapter_model.safetensors`; or as adapter-hub/adapters
 * does, with `adapter.safetensors`, or with a folder for each of several fused adapters and `adapter_setup.json`. Where there is no
 * safetensors file, that of `torch.save` is read (see `openTorch`): `adapter_model.bin`, `pytorch_adapter.bin`.
 *
 * Throws `PeftError`: `file-missing`, `bad-adapter` for the config, `bad-safetensors` or `bad-torch` for the weights.
 */
export const readAdapter = async (dir: Place): Promise<Adapter> => {
  const files = await filesAt(dir);
  const has = async (name: string): Promise<boolean> => (await files.size(name)) !== null;
  const [single, fused] = await Promise.all([has(configFile), has(setupFile)]);
  if (single && fused)
    throw new PeftError(
      'bad-adapter',
      `${files.name}: has ${configFile} and ${setupFile}; remove the one that is not wanted.`,
    );
  if (fused) return { layout: 'adapter-hub', ...(await readHubSetup(files)) };
  if (!single)
    throw new PeftError(
      'file-missing',
      `${files.name}: has no ${configFile}, so it is not a whole adapter. Check the path or save the adapter again.`,
    );
  const raw = (await readJsonObject(files, configFile, 'bad-adapter')) as JsonObject;
  return raw['peft_type'] == null && 'config' in raw ? readHub(files) : readPeft(files, raw);
};
