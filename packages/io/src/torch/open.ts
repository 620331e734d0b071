import { PeftError } from '@peftjs/tensor';
import type { FilePlace, OpenFile } from '../files/files.ts';
import { fileAt, nameOf } from '../files/place.ts';
import { listed, quote, reasonOf } from '../report.ts';
import { allocate, bytesOfArray, bytesOfDType, requireLittleEndian } from '../safetensors/dtype.ts';
import type { TensorInfo } from '../safetensors/header.ts';
import { type TensorReader, tensorReader } from '../safetensors/reader.ts';
import { readLegacy } from './legacy.ts';
import { isKind, type PickleStorage, type PickleTensor, type PickleValue, unpickle } from './pickle.ts';
import { gather, isContiguous, lastOf, sizeOf } from './strides.ts';
import { buildTorch, bytesOfStorage, dtypeOf, storageOf } from './torch-value.ts';
import { isZip, readAt, readZip, startOfEntry, type ZipEntry } from './zip.ts';

const mostPickleBytes = 2 ** 24;
/** Tensors may share what they are views of, but not so often that the file says far more than it holds. */
const mostShared = 16;

interface Content {
  readonly value: PickleValue;
  /** First byte of each storage. */
  readonly starts: ReadonlyMap<string, number>;
}

/** The folder within an archive that has the pickle. */
const folderOf = (entries: ReadonlyMap<string, ZipEntry>): string => {
  const found = [...entries.keys()].filter((name) => /^(?:.*\/)?data\.pkl$/.test(name));
  if (found.length === 1) return found[0]!.slice(0, -'data.pkl'.length);
  throw new SyntaxError(`it is a zip archive with ${found.length} data.pkl in it, not what torch.save writes`);
};

const readArchive = async (file: OpenFile): Promise<Content> => {
  const entries = await readZip(file);
  const folder = folderOf(entries);
  const bytesIn = async (name: string): Promise<Uint8Array | undefined> => {
    const entry = entries.get(folder + name);
    if (!entry) return undefined;
    if (entry.size > mostPickleBytes)
      throw new SyntaxError(`${name} in it has ${entry.size} bytes; at most ${mostPickleBytes} are read`);
    return new Uint8Array((await readAt(file, await startOfEntry(file, entry), entry.size)).buffer);
  };
  const order = await bytesIn('byteorder');
  if (order && new TextDecoder().decode(order).trim() !== 'little') throw new SyntaxError('its numbers are big-endian');
  // Every tensor names its storage anew, also as one of another type.
  const storages: PickleStorage[] = [];
  const { value } = unpickle((await bytesIn('data.pkl'))!, 0, buildTorch, (id) => {
    const storage = storageOf(id);
    storages.push(storage);
    return storage;
  });
  const found = new Map<string, ZipEntry>();
  for (const storage of storages) {
    const { key } = storage;
    const entry = entries.get(`${folder}data/${key}`);
    const wanted = bytesOfStorage(storage);
    if (entry?.size !== wanted)
      throw new SyntaxError(`the storage ${quote(key)} should have ${wanted} bytes, it has ${entry?.size ?? 'none'}`);
    found.set(key, entry);
  }
  const starts = new Map<string, number>();
  for (const [key, entry] of found) starts.set(key, await startOfEntry(file, entry));
  return { value, starts };
};

/** The tensors of what was unpickled, which must be a dict of them. What is wrong goes to `problems`. */
const tensorsOf = (
  { value, starts }: Content,
  fileBytes: number,
  problems: string[],
): Map<TensorInfo, [name: string, PickleTensor]> => {
  const tensors = new Map<TensorInfo, [string, PickleTensor]>();
  if (!isKind(value, 'dict')) throw new SyntaxError('it holds no dict of tensors');
  let total = 0;
  for (const [name, tensor] of value.entries) {
    const who = `tensor ${quote(String(name))}`;
    const dtype = isKind(tensor, 'tensor') ? dtypeOf(tensor) : undefined;
    if (typeof name !== 'string') problems.push('a key of its dict is not a text');
    else if (!isKind(tensor, 'tensor')) problems.push(`${quote(name)} in it is not a tensor`);
    else if (!dtype) problems.push(`${who}: its element type is not read`);
    else {
      const bytes = bytesOfDType(dtype);
      const [size, last] = [sizeOf(tensor), lastOf(tensor)];
      if (!((last + 1) * bytes <= bytesOfStorage(tensor.storage))) problems.push(`${who}: reaches beyond its storage`);
      total += size * bytes;
      const start = starts.get(tensor.storage.key)! + tensor.offset * bytes;
      tensors.set({ dtype, shape: tensor.shape, size, start, byteLength: size * bytes }, [name, tensor]);
    }
  }
  if (!(total <= mostShared * fileBytes)) problems.push(`its tensors take ${total} bytes, the file has ${fileBytes}`);
  return tensors;
};

/**
 * Opens a file that `torch.save` wrote and that holds a dict of tensors: `adapter_model.bin`, `pytorch_adapter.bin`,
 * `pytorch_model.bin`. The pickle in it is read by an interpreter that knows tensors and what holds them, and nothing else; no code
 * is run. Tensors are read when asked for, whatever their strides; those that share a storage come as copies.
 *
 * Throws `PeftError`: `file-missing` where the file cannot be opened, `bad-torch` with what is wrong or not read.
 *
 * Source: torch, `serialization.py`, https://github.com/pytorch/pytorch/blob/main/torch/serialization.py
 */
export const openTorch = async (place: FilePlace): Promise<TensorReader> => {
  const at = await fileAt(place);
  const path = nameOf(at);
  requireLittleEndian(path);
  const file = await at.files.open(at.path);
  try {
    const content = isZip(await readAt(file, 0, Math.min(4, file.size)))
      ? await readArchive(file)
      : await readLegacy(file);
    const problems: string[] = [];
    const tensors = tensorsOf(content, file.size, problems);
    if (problems.length > 0) throw new SyntaxError(listed(problems).trimStart());
    const fill = async (target: ArrayBufferView, info: TensorInfo, offset = 0): Promise<void> => {
      const [, tensor] = tensors.get(info)!;
      const bytes = bytesOfArray(target);
      if (info.size === 0) return;
      const read = async (at: number, into: Uint8Array): Promise<void> => {
        if ((await file.read(at, into)) < into.length)
          throw new PeftError('bad-torch', `${path}: was cut after it was opened. Open it again.`);
      };
      if (isContiguous(tensor)) return read(info.start + offset, bytes);
      const from = bytesOfArray(allocate(info.dtype, lastOf(tensor) - tensor.offset + 1));
      await read(info.start, from);
      const whole = bytes.length === info.byteLength ? bytes : new Uint8Array(info.byteLength);
      gather(tensor, from, whole, bytesOfDType(info.dtype));
      if (whole !== bytes) bytes.set(whole.subarray(offset, offset + bytes.length));
    };
    const header = {
      metadata: new Map<string, string>(),
      tensors: new Map([...tensors].map(([info, [name]]) => [name, info])),
    };
    return tensorReader(path, header, fill, () => file.close());
  } catch (error) {
    await file.close();
    if (!(error instanceof SyntaxError)) throw error;
    throw new PeftError(
      'bad-torch',
      `${path}: is not read as a file of torch.save: ${reasonOf(error)}. Save its tensors as safetensors.`,
      { cause: error },
    );
  }
};
