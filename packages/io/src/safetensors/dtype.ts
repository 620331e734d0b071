import { PeftError } from '@peftjs/tensor';

/** The array that holds the values of each element type of a safetensors file; F16 and BF16 are raw bits. */
export interface FileArrays {
  BOOL: Uint8Array;
  U8: Uint8Array;
  I8: Int8Array;
  I16: Int16Array;
  U16: Uint16Array;
  F16: Uint16Array;
  BF16: Uint16Array;
  I32: Int32Array;
  U32: Uint32Array;
  F32: Float32Array;
  F64: Float64Array;
  I64: BigInt64Array;
  U64: BigUint64Array;
}

/** The element types of a safetensors file that are read and written here. */
export type FileDType = keyof FileArrays;

/** An array of any of these types. */
export type FileArray = FileArrays[FileDType];

/** A tensor in memory, as a safetensors file holds it. */
export type FileTensor = {
  [D in FileDType]: { readonly dtype: D; readonly shape: readonly number[]; readonly data: FileArrays[D] };
}[FileDType];

interface ArrayKind<A> {
  new (length: number): A;
  readonly BYTES_PER_ELEMENT: number;
}

const kinds: { readonly [D in FileDType]: ArrayKind<FileArrays[D]> } = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
};

/** All element types, in the reference implementation's order of alignment; files are written from last to first. */
export const fileDTypes: readonly FileDType[] = Object.keys(kinds) as FileDType[];

/** Whether a name out of a file is one of the known element types. */
export const isFileDType = (name: unknown): name is FileDType => typeof name === 'string' && Object.hasOwn(kinds, name);

/** Bytes of one element. */
export const bytesOfDType = (dtype: FileDType): number => kinds[dtype].BYTES_PER_ELEMENT;

/** A zeroed array for so many elements of this type. */
export const allocate = (dtype: FileDType, length: number): FileArray => new kinds[dtype](length);

/** Whether the array is of the kind that holds this type. */
export const holdsDType = (dtype: FileDType, data: unknown): data is FileArray => data instanceof kinds[dtype];

/** The bytes of an array, without a copy. */
export const bytesOfArray = (data: ArrayBufferView): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Safetensors files are little-endian and their bytes are used as they are, so another host is refused. */
export const requireLittleEndian = (who: string): void => {
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] === 1) return;
  throw new PeftError('bad-safetensors', `${who}: safetensors files are little-endian and this processor is not.`);
};
