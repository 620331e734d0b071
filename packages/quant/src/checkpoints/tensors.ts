import type { FileDType, TensorReader } from '@peftjs/io';
import { PeftError, sameShape } from '@peftjs/tensor';

const describe = ({ dtype, shape }: { readonly dtype: string; readonly shape: readonly number[] }): string =>
  `${dtype} [${shape.join(', ')}]`;

/** Throws `state-mismatch` unless a file's tensor has a shape and one of some types. */
export const expectTensor = (
  { path, tensors }: TensorReader,
  name: string,
  shape: readonly number[],
  dtypes: readonly FileDType[],
): void => {
  const found = tensors.get(name);
  if (found && sameShape(found.shape, shape) && dtypes.includes(found.dtype)) return;
  throw new PeftError(
    'state-mismatch',
    `${path}: ${name} is ${found ? describe(found) : 'missing'}, the model and quantization_config in config.json make it ${dtypes.join(' or ')} [${shape.join(', ')}]. Download the folder again, or correct the config.`,
  );
};

/** The bytes of a tensor, whatever its type. */
export const bytesOf = async (checkpoint: TensorReader, name: string): Promise<Uint8Array> => {
  const { data } = await checkpoint.read(name);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
};

/** The 32-bit words of a tensor. */
export const wordsOf = async (checkpoint: TensorReader, name: string): Promise<Int32Array> => {
  const { data } = await checkpoint.read(name);
  return new Int32Array(data.buffer, data.byteOffset, data.byteLength / 4);
};

/** [rows, columns] -> [columns, rows] */
export const turned = <T extends Float32Array | Int32Array | Uint16Array | Uint8Array>(
  values: T,
  rows: number,
  columns: number,
): T => {
  const out = values.slice() as T;
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c]!;
  return out;
};

/** Throws `bad-data` for scales that are not finite: then no value of their blocks is. */
export const checkScales = (who: string, scales: Float32Array): Float32Array => {
  const odd = scales.findIndex((s) => !Number.isFinite(s));
  if (odd >= 0) throw new PeftError('bad-data', `${who}: scale ${odd} is ${scales[odd]}; download the folder again.`);
  return scales;
};
