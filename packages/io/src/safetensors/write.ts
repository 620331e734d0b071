import { PeftError } from '@peftjs/tensor';
import { byCodePoint } from '../by-code-point.ts';
import type { FilePlace } from '../files/files.ts';
import { fileAt, nameOf, writable } from '../files/place.ts';
import { float32ToBfloat16, float32ToHalf } from '../half.ts';
import { listed, quote } from '../report.ts';
import {
  bytesOfArray,
  bytesOfDType,
  type FileArray,
  type FileDType,
  fileDTypes,
  holdsDType,
  isFileDType,
  requireLittleEndian,
} from './dtype.ts';

/** The values of a tensor to write: the array of its dtype or, for F16 and BF16, also f32 to be rounded. */
export type WriteData = FileArray;

/** A tensor to write. Data given as a function is asked for when its turn comes, so that only one need be in memory. */
export interface WriteTensor {
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  readonly data: WriteData | (() => WriteData | Promise<WriteData>);
}

const piece = 2 ** 18;
const space = 0x20;

/** Half a surrogate pair, which UTF-8 cannot write. */
const halfPair = /\p{Surrogate}/u;

/**
 * Writes a safetensors file, byte for byte as the reference implementation does: tensors by falling alignment of their
 * dtype, then by name; the header padded with spaces to a multiple of 8 bytes. f32 values go to F16 and BF16 by rounding
 * to nearest even. Streams: beyond the given arrays at most 1.5 MiB are held. On disk the path holds the old or the whole
 * new file at every moment, see `writeFileAtomic`.
 *
 * Throws `PeftError`: `bad-option` with all that is wrong with the tensors, or where a finite value is too large for
 * its dtype; `write-failed`.
 */
export const writeSafetensors = async (
  place: FilePlace,
  tensors: ReadonlyMap<string, WriteTensor>,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Promise<void> => {
  const file = await fileAt(place);
  const content = encodeSafetensors(nameOf(file), tensors, metadata);
  await writable(file.files).write(new Map([[file.path, content]]));
};

/** The bytes that `writeSafetensors` writes, in pieces. What can be checked before the first piece is checked here. */
export const encodeSafetensors = (
  who: string,
  tensors: ReadonlyMap<string, WriteTensor>,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): AsyncIterable<Uint8Array> => {
  requireLittleEndian(who);
  const problems: string[] = [];
  for (const [name, tensor] of tensors) checkTensor(name, tensor, problems);
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string' || halfPair.test(value) || halfPair.test(key))
      problems.push(`metadata ${quote(key)}: is not a valid text`);
  }
  if (problems.length > 0) throw new PeftError('bad-option', `${who}: cannot be written:${listed(problems)}`);
  const rank = (tensor: WriteTensor): number => fileDTypes.indexOf(tensor.dtype);
  const sorted = [...tensors].sort(([a, left], [b, right]) => rank(right) - rank(left) || byCodePoint(a, b));
  return encodePieces(who, encodeHeader(sorted, metadata), sorted);
};

const checkTensor = (name: string, { dtype, shape, data }: WriteTensor, problems: string[]): void => {
  const who = `tensor ${quote(name)}`;
  if (name === '__metadata__' || halfPair.test(name)) problems.push(`${who}: this name cannot be written`);
  if (!isFileDType(dtype)) problems.push(`${who}: dtype ${quote(String(dtype))} is none of ${fileDTypes.join(', ')}`);
  else if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0))
    problems.push(`${who}: shape [${shape}] is not made of whole numbers >= 0`);
  else if (typeof data !== 'function') {
    const problem = mismatch(dtype, shape, data);
    if (problem) problems.push(`${who}: ${problem}`);
  }
};

const sizeOfShape = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

const rounds = (dtype: FileDType, data: unknown): data is Float32Array =>
  (dtype === 'F16' || dtype === 'BF16') && data instanceof Float32Array;

const mismatch = (dtype: FileDType, shape: readonly number[], data: unknown): string | undefined => {
  if (!rounds(dtype, data) && !holdsDType(dtype, data)) return `its data is not an array for ${dtype}`;
  const size = sizeOfShape(shape);
  return data.length === size ? undefined : `shape [${shape}] has ${size} elements, its data has ${data.length}`;
};

/** Built as text: an object would move names such as "0" to the front and lose one called "__proto__". */
const encodeHeader = (
  sorted: readonly [string, WriteTensor][],
  metadata: Readonly<Record<string, string>>,
): Uint8Array => {
  const fields: string[] = [];
  const pairs = Object.entries(metadata).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  if (pairs.length > 0) fields.push(`"__metadata__":{${pairs.join()}}`);
  let offset = 0;
  for (const [name, { dtype, shape }] of sorted) {
    const end = offset + sizeOfShape(shape) * bytesOfDType(dtype);
    fields.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join()}],"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }
  const text = new TextEncoder().encode(`{${fields.join()}}`);
  const padded = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(space);
  bytes.set(new Uint8Array(BigUint64Array.of(BigInt(padded)).buffer));
  bytes.set(text, 8);
  return bytes;
};

async function* encodePieces(
  who: string,
  header: Uint8Array,
  sorted: readonly [string, WriteTensor][],
): AsyncGenerator<Uint8Array, void> {
  yield header;
  for (const [name, tensor] of sorted) {
    const data = typeof tensor.data === 'function' ? await tensor.data() : tensor.data;
    const problem = mismatch(tensor.dtype, tensor.shape, data);
    if (problem) throw new PeftError('bad-option', `${who}: tensor ${quote(name)}: ${problem}.`);
    if (!rounds(tensor.dtype, data)) yield bytesOfArray(data);
    else
      for (let i = 0; i < data.length; i += piece)
        yield roundPiece(who, name, tensor.dtype, data.subarray(i, i + piece));
  }
}

const roundPiece = (who: string, name: string, dtype: FileDType, values: Float32Array): Uint8Array => {
  const bits = dtype === 'F16' ? float32ToHalf(values) : float32ToBfloat16(values);
  const infinity = dtype === 'F16' ? 0x7c00 : 0x7f80;
  const overflow = bits.findIndex((half, i) => (half & 0x7fff) === infinity && Number.isFinite(values[i]));
  if (overflow >= 0)
    throw new PeftError(
      'bad-option',
      `${who}: tensor ${quote(name)} holds ${values[overflow]}, too large for ${dtype}. Write it as F32.`,
    );
  return bytesOfArray(bits);
};
