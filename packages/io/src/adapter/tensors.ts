import { PeftError } from '@peftjs/tensor';
import type { FileContent } from '../files/file-content.ts';
import type { Files, OpenFile } from '../files/files.ts';
import { sha256Of } from '../files/sha256.ts';
import type { FileDType } from '../safetensors/dtype.ts';
import { openSafetensors } from '../safetensors/open.ts';
import type { TensorReader } from '../safetensors/reader.ts';
import { encodeSafetensors, type WriteTensor } from '../safetensors/write.ts';
import type { Seen } from './digest.ts';

/** A tensor of an adapter: its values as f32, whole numbers as i32, u8 or u32, and as what the file holds them. */
export interface AdapterTensor {
  readonly shape: readonly number[];
  readonly dtype: FileDType;
  readonly data: Float32Array | Int32Array | Uint32Array | Uint8Array;
}

/** A tensor to save in an adapter; F32 unless `dtype` says F16 or BF16, and I32, U32 or U8 for whole numbers. */
export interface AdapterTensorData {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | Uint32Array | Uint8Array;
  readonly dtype?: 'F32' | 'F16' | 'BF16';
}

const floats: readonly FileDType[] = ['F16', 'BF16', 'F32', 'F64'];

const readValues = async (file: TensorReader, name: string, dtype: FileDType): Promise<AdapterTensor['data']> => {
  if (floats.includes(dtype)) return file.readFloat32(name);
  const { data } = await file.read(name);
  if (dtype === 'U8' || dtype === 'U32') return data as Uint8Array | Uint32Array;
  const values = Int32Array.from(data as ArrayLike<number | bigint>, Number);
  const wrong = values.findIndex((v, i) => v !== Number(data[i]));
  if (wrong < 0) return values;
  throw new PeftError('bad-adapter', `${file.path}: tensor ${name} holds ${data[wrong]}, which i32 cannot.`);
};

/** The weights in a folder: a file of safetensors, or else one of `torch.save`. */
export interface WeightsFiles {
  readonly safe: string;
  readonly torch: string;
}

const openWeights = async (files: Files, path: string): Promise<TensorReader> => {
  if (path.endsWith('.safetensors')) return openSafetensors({ files, path });
  const { openTorch } = await import('../torch/open.ts');
  return openTorch({ files, path });
};

/** The same files, where one is the version that was opened. */
const pinned = (files: Files, file: OpenFile): Files => ({
  ...files,
  open: async () => ({ ...file, close: async () => {} }),
});

/**
 * All tensors of a file, of which there must be one; it is noted what was read. Throws `file-missing`, `bad-safetensors`, `bad-torch`,
 * `bad-adapter`.
 */
export const readTensors = async (
  files: Files,
  { safe, torch }: WeightsFiles,
  { sums }: Seen,
): Promise<Map<string, AdapterTensor>> => {
  const isTorch = (await files.size(safe)) === null && (await files.size(torch)) !== null;
  const path = isTorch ? torch : safe;
  const open = await files.open(path);
  try {
    sums.set(path, await sha256Of(open));
    return await tensorsIn(await openWeights(pinned(files, open), path));
  } finally {
    await open.close();
  }
};

const tensorsIn = async (file: TensorReader): Promise<Map<string, AdapterTensor>> => {
  if (file.tensors.size === 0) throw new PeftError('bad-adapter', `${file.path}: holds no tensor.`);
  const tensors = new Map<string, AdapterTensor>();
  for (const [name, { shape, dtype }] of file.tensors)
    tensors.set(name, { shape, dtype, data: await readValues(file, name, dtype) });
  return tensors;
};

const dtypeOf = (data: AdapterTensorData['data']): FileDType => {
  if (data instanceof Uint8Array) return 'U8';
  if (data instanceof Uint32Array) return 'U32';
  return data instanceof Int32Array ? 'I32' : 'F32';
};

/** The content of a safetensors file. Throws `bad-option` for tensors that contradict their shape. */
export const encodeTensors = (path: string, tensors: ReadonlyMap<string, AdapterTensorData>): FileContent =>
  encodeSafetensors(
    path,
    new Map<string, WriteTensor>([...tensors].map(([name, t]) => [name, { dtype: dtypeOf(t.data), ...t }])),
  );
