import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import type { JsonObject } from '../json.ts';
import { isFile } from '../read-json.ts';
import { listed } from '../report.ts';
import { encodeSafetensors, type WriteTensor } from '../safetensors/write.ts';
import { type FileContent, writeDirAtomic } from '../write-atomic.ts';
import { modelCard } from './card.ts';
import { configFile, parseAdapterConfig, weightsFile } from './files.ts';
import { pythonJson } from './python-json.ts';

/** A tensor to save in an adapter; F32 unless `dtype` says F16 or BF16, and I32 for whole numbers. */
export interface AdapterTensorData {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
  readonly dtype?: 'F32' | 'F16' | 'BF16';
}

/**
 * Writes an adapter folder as huggingface/peft does: `adapter_model.safetensors` and `adapter_config.json` with sorted
 * keys, and a short README.md if there is none. `config` is the content of the latter file and must have `peft_type`.
 * The config is written last: the folder holds the old adapter, or none that counts as whole, or the new one; see
 * `writeDirAtomic`. Other files in it are not touched.
 *
 * Throws `PeftError`: `bad-adapter` with all that is wrong with the config, `bad-option` for tensors that contradict
 * their shape, `write-failed`.
 */
export const writeAdapter = async (
  dir: string,
  config: JsonObject,
  tensors: ReadonlyMap<string, AdapterTensorData>,
): Promise<void> => {
  const problems: string[] = [];
  const parsed = parseAdapterConfig(config, problems);
  if (tensors.size === 0) problems.push('there are no tensors to save');
  if (!parsed || problems.length > 0)
    throw new PeftError('bad-adapter', `${dir}: the adapter cannot be saved:${listed(problems)}`);

  const weights = new Map<string, WriteTensor>();
  for (const [name, tensor] of tensors)
    weights.set(name, { dtype: tensor.data instanceof Int32Array ? 'I32' : 'F32', ...tensor });
  const files = new Map<string, FileContent>();
  if (!(await isFile(join(dir, 'README.md')))) files.set('README.md', modelCard(parsed));
  files.set(weightsFile, encodeSafetensors(join(dir, weightsFile), weights));
  files.set(configFile, pythonJson(config));
  await writeDirAtomic(dir, files);
};
