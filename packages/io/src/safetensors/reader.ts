import { PeftError } from '@peftjs/tensor';
import { sameBytes } from '../files/file-content.ts';
import { bfloat16ToFloat32, halfToFloat32 } from '../half.ts';
import { quote } from '../report.ts';
import { allocate, type FileTensor } from './dtype.ts';
import type { Header, TensorInfo } from './header.ts';

/** Tensors on disk: what there is, and reading it one by one. Reads may run side by side. */
export interface TensorReader extends Header, AsyncDisposable {
  /** The file or folder, for messages. */
  readonly path: string;
  /** A tensor as the file holds it; F16 and BF16 as bits. Throws `PeftError` `bad-safetensors` for an unknown name. */
  read(name: string): Promise<FileTensor>;
  /**
   * The values of a tensor as f32, without a second copy for F16 and BF16. F64 is rounded; whole numbers must be exact
   * in f32, otherwise `bad-safetensors` names the tensor.
   */
  readFloat32(name: string): Promise<Float32Array>;
  /** The bytes of a tensor, one part after the other; each is valid until the next is asked for. */
  parts(name: string): AsyncIterable<Uint8Array>;
  /** Gives the files back to the system, once the reads under way are done. */
  close(): Promise<void>;
}

/** Fills the array with the bytes of a tensor from an offset on, or throws. */
export type Fill = (target: ArrayBufferView, tensor: TensorInfo, offset?: number) => Promise<void>;

const partBytes = 2 ** 22;

/** A reader over one checked header and a function that reads bytes. */
export const tensorReader = (path: string, header: Header, fill: Fill, release: () => Promise<void>): TensorReader => {
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= release());

  const find = (name: string): TensorInfo => {
    if (closing) throw new PeftError('bad-option', `${path}: is closed; read ${quote(name)} before close().`);
    return findTensor(path, header.tensors, name);
  };

  const read = async (name: string): Promise<FileTensor> => {
    const info = find(name);
    const { dtype, shape, size } = info;
    const data = tryAllocate(path, name, () => allocate(dtype, size));
    await fill(data, info);
    return { dtype, shape, data } as FileTensor;
  };

  const readFloat32 = async (name: string): Promise<Float32Array> => {
    const info = find(name);
    const { dtype, size } = info;
    if (dtype !== 'F16' && dtype !== 'BF16') return toFloat32(path, name, await read(name));
    const values = tryAllocate(path, name, () => new Float32Array(size));
    const bits = new Uint16Array(values.buffer, 2 * size, size);
    await fill(bits, info);
    return dtype === 'F16' ? halfToFloat32(bits, values) : bfloat16ToFloat32(bits, values);
  };

  async function* parts(name: string): AsyncGenerator<Uint8Array, void> {
    const info = find(name);
    const buffer = new Uint8Array(Math.min(partBytes, info.byteLength));
    for (let at = 0; at < info.byteLength; at += partBytes) {
      const part = buffer.subarray(0, Math.min(partBytes, info.byteLength - at));
      await fill(part, info, at);
      yield part;
    }
  }

  return { path, ...header, read, readFloat32, parts, close, [Symbol.asyncDispose]: close };
};

/** Whether two tensors are of one type and shape and hold the same bytes. Stops at the first that differs. */
export const sameTensor = async (reader: TensorReader, a: string, b: string): Promise<boolean> => {
  const [x, y] = [reader.tensors.get(a), reader.tensors.get(b)];
  if (x?.dtype !== y?.dtype || String(x?.shape) !== String(y?.shape)) return false;
  const others = reader.parts(b)[Symbol.asyncIterator]();
  for await (const part of reader.parts(a)) {
    const other = await others.next();
    if (other.done || !sameBytes(part, other.value)) return false;
  }
  return true;
};

/** The entry of a tensor, or an error that names some of those there are. */
export const findTensor = <T>(path: string, tensors: ReadonlyMap<string, T>, name: string): T => {
  const found = tensors.get(name);
  if (found !== undefined) return found;
  const some = [...tensors.keys()].slice(0, 8).map(quote).join(', ');
  const rest = tensors.size > 8 ? ` and ${tensors.size - 8} more` : '';
  throw new PeftError('bad-safetensors', `${path}: has no tensor ${quote(name)}; it has ${some || 'none'}${rest}.`);
};

/** A file with holes may truly be larger than the memory. */
const tryAllocate = <T>(path: string, name: string, make: () => T): T => {
  try {
    return make();
  } catch (cause) {
    throw new PeftError('out-of-memory', `${path}: tensor ${quote(name)} does not fit in memory.`, { cause });
  }
};

const toFloat32 = (path: string, name: string, tensor: FileTensor): Float32Array => {
  if (tensor.dtype === 'F32') return tensor.data;
  const values = new Float32Array(tensor.data.length);
  for (let i = 0; i < values.length; i++) {
    const value = tensor.data[i]!;
    values[i] = Number(value);
    if (tensor.dtype !== 'F64' && (typeof value === 'bigint' ? BigInt(values[i]!) : values[i]) !== value)
      throw new PeftError(
        'bad-safetensors',
        `${path}: tensor ${quote(name)} holds ${value}, which f32 cannot; use read().`,
      );
  }
  return values;
};
