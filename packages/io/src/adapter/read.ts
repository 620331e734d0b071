import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import type { JsonObject } from '../json.ts';
import { isFile, readJsonObject } from '../read-json.ts';
import { listed } from '../report.ts';
import type { FileDType } from '../safetensors/dtype.ts';
import { openSafetensors } from '../safetensors/open.ts';
import type { TensorReader } from '../safetensors/reader.ts';
import { type AdapterConfig, configFile, parseAdapterConfig, weightsFile } from './files.ts';

/** A tensor of an adapter: its values as f32, whole numbers as i32, and as what the file holds them. */
export interface AdapterTensor {
  readonly shape: readonly number[];
  readonly dtype: FileDType;
  readonly data: Float32Array | Int32Array;
}

const floats: readonly FileDType[] = ['F16', 'BF16', 'F32', 'F64'];

const readValues = async (file: TensorReader, name: string, dtype: FileDType): Promise<AdapterTensor['data']> => {
  if (floats.includes(dtype)) return file.readFloat32(name);
  const { data } = await file.read(name);
  const values = Int32Array.from(data as ArrayLike<number | bigint>, Number);
  const wrong = values.findIndex((v, i) => v !== Number(data[i]));
  if (wrong < 0) return values;
  throw new PeftError('bad-adapter', `${file.path}: tensor ${name} holds ${data[wrong]}, which i32 cannot.`);
};

/** An adapter folder in memory. Tensor names are those of the file, `base_model.model.<path>.lora_A.weight`. */
export interface Adapter {
  readonly config: AdapterConfig;
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
}

/**
 * Reads an adapter folder as huggingface/peft writes it: `adapter_config.json` and `adapter_model.safetensors`.
 *
 * Throws `PeftError`: `file-missing`, `bad-adapter` for the config, `bad-safetensors` for the weights.
 */
export const readAdapter = async (dir: string): Promise<Adapter> => {
  const path = join(dir, configFile);
  if (!(await isFile(path)))
    throw new PeftError(
      'file-missing',
      `${dir}: has no ${configFile}, so it is not a whole adapter. Check the path or save the adapter again.`,
    );
  const problems: string[] = [];
  const config = parseAdapterConfig((await readJsonObject(path, 'bad-adapter')) as JsonObject, problems);
  if (!config) throw new PeftError('bad-adapter', `${path}: is not a sound adapter config:${listed(problems)}`);
  if (!(await isFile(join(dir, weightsFile))) && (await isFile(join(dir, 'adapter_model.bin'))))
    throw new PeftError(
      'file-missing',
      `${dir}: has adapter_model.bin, which is not read, as it may run code. Convert it to ${weightsFile}.`,
    );

  await using file = await openSafetensors(join(dir, weightsFile));
  if (file.tensors.size === 0) throw new PeftError('bad-adapter', `${file.path}: holds no tensor.`);
  const tensors = new Map<string, AdapterTensor>();
  for (const [name, { shape, dtype }] of file.tensors)
    tensors.set(name, { shape, dtype, data: await readValues(file, name, dtype) });
  return { config, tensors };
};
