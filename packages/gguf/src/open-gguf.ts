import { bfloat16ToFloat32, detached, type FilePlace, fileAt, halfToFloat32, nameOf } from '@peftjs/io';
import { type GgmlType, ggml, ggmlTypes, type IqType, iqBlocks, iqTypes } from '@peftjs/quant';
import { PeftError, sizeOf } from '@peftjs/tensor';
import { type FloatStorage, floatTypes } from './float-bytes.ts';
import { type GgufTensorRow, type GgufValue, readGgufHeader } from './header.ts';

/** How a tensor is stored: as floats, or in one of GGML's blocks. */
export type GgufStorage = FloatStorage | GgmlType | IqType;

/** Whether a storage is one of GGML's blocks by a codebook. */
export const isIq = (storage: GgufStorage): storage is IqType => (iqTypes as readonly string[]).includes(storage);

/** Whether a storage is another of GGML's blocks. */
export const isBlocks = (storage: GgufStorage): storage is GgmlType =>
  !Object.hasOwn(floatTypes, storage) && !isIq(storage);

/** A tensor of a GGUF file. */
export interface GgufTensor {
  readonly name: string;
  /** Sizes, the slowest first. */
  readonly shape: readonly number[];
  readonly storage: GgufStorage;
  /** Its bytes in the file. */
  readonly size: number;
  /** Reads its bytes. Throws `read-failed`. */
  bytes(): Promise<Uint8Array>;
}

/** A GGUF file whose header was read. */
export interface GgufFile {
  /** The path, for messages. */
  readonly name: string;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Floats by GGML's number of their type. */
const floats = new Map(
  Object.entries(floatTypes).map(([name, { type, width }]) => [type, { storage: name as FloatStorage, width }]),
);

const blocks = new Map([...ggmlTypes.map(ggml), ...iqTypes.map(iqBlocks)].map((type) => [type.id, type]));

/** Types that GGML has and that are not read. */
const others: { readonly [type: number]: string } = {
  9: 'Q8_1',
  15: 'Q8_K',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  41: 'Q1_0',
};

interface Stored {
  readonly storage: GgufStorage;
  readonly bytes: number;
}

/** How a tensor is stored and in how many bytes, or what is wrong with it. */
const storedAs = ({ name, shape, type }: GgufTensorRow): Stored | string => {
  const float = floats.get(type);
  if (float) return { storage: float.storage, bytes: float.width * sizeOf(shape) };
  const block = blocks.get(type);
  if (!block)
    return `tensor ${name} is ${others[type] ?? `of type ${type}`}, which is not read; read are F32, F16, BF16, ${[...ggmlTypes, ...iqTypes].join(', ')}`;
  const row = shape.at(-1)!;
  if (row % block.blockSize > 0)
    return `tensor ${name} [${shape.join(', ')}] has rows that are no whole blocks of ${block.blockSize} (${block.name})`;
  return { storage: block.name, bytes: (sizeOf(shape) / block.blockSize) * block.blockBytes };
};

/**
 * Opens a GGUF file: a path on disk, a URL, or a path in `Files`. Only its header is read and checked, against the size of the file too; tensors
 * are read when asked for, so the file must stay as it is. Throws `file-missing`, `read-failed`, `bad-gguf` with what is wrong, `bad-option` for types
 * of blocks that are not read.
 */
export const openGguf = async (place: FilePlace): Promise<GgufFile> => {
  const at = await fileAt(place);
  const name = nameOf(at);
  const file = await detached(at.files).open(at.path);
  const readAt = async (from: number, bytes: number): Promise<Uint8Array> => {
    const into = new Uint8Array(bytes);
    const got = await file.read(from, into);
    if (got === bytes) return into;
    throw new PeftError('read-failed', `${name}: ${got} of ${bytes} bytes could be read at ${from}; try again`);
  };
  const header = await readGgufHeader(name, file.size, (bytes) => readAt(0, bytes));
  const rows = header.tensors.map((row) => ({ row, stored: storedAs(row) }));
  const unread = rows.flatMap(({ stored }) => (typeof stored === 'string' ? [stored] : []));
  if (unread.length > 0)
    throw new PeftError(
      'bad-option',
      `${name}: ${unread[0]}. ${unread.length > 1 ? `So are ${unread.length - 1} more. ` : ''}Take another file of the model.`,
    );
  const tensors = new Map<string, GgufTensor>();
  for (const { row, stored } of rows) {
    const { storage, bytes } = stored as Stored;
    const from = header.dataStart + row.offset;
    if (!Number.isSafeInteger(from) || from + bytes > file.size)
      throw new PeftError(
        'bad-gguf',
        `${name}: tensor ${row.name} is to lie at bytes ${from} to ${from + bytes}, the file has ${file.size}: it is cut off. Download it again.`,
      );
    tensors.set(row.name, {
      name: row.name,
      shape: row.shape,
      storage,
      size: bytes,
      bytes: () => readAt(from, bytes),
    });
  }
  return { name, metadata: header.metadata, tensors };
};

/** A copy of bytes that begins where numbers may. */
const aligned = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;

/** The values of a tensor, in f32. Throws `read-failed`, `bad-data`. */
export const readValues = async ({ name, shape, storage, bytes }: GgufTensor): Promise<Float32Array> => {
  const stored = await bytes();
  if (storage === 'F32') return new Float32Array(aligned(stored));
  if (storage === 'F16') return halfToFloat32(new Uint16Array(aligned(stored)));
  if (storage === 'BF16') return bfloat16ToFloat32(new Uint16Array(aligned(stored)));
  const row = shape.at(-1)!;
  return (isIq(storage) ? iqBlocks(storage) : ggml(storage)).values(name, stored, sizeOf(shape) / row, row);
};
