/**
 * Element types of tensors. `f16` is storage for frozen values; arithmetic is f32 unless an op says otherwise. `u8` is storage for packed
 * codes: it is moved, cast and unpacked, not computed with.
 */
export type DType = 'f32' | 'f16' | 'i32' | 'u32' | 'u8';

/** Host data of a tensor: f16 travels as its bits. */
export type TypedArray = Float32Array | Uint16Array | Int32Array | Uint32Array | Uint8Array;

const arrays = { f32: Float32Array, f16: Uint16Array, i32: Int32Array, u32: Uint32Array, u8: Uint8Array } as const;

/** Whether a dtype holds whole numbers. */
export const isWhole = (dtype: DType): boolean => dtype !== 'f32' && dtype !== 'f16';

/** Bytes of one element. */
export const bytesPerElement = (dtype: DType): number => arrays[dtype].BYTES_PER_ELEMENT;

/** A zeroed host array for `size` elements of a dtype. */
export const hostArray = (dtype: DType, size: number): TypedArray => new arrays[dtype](size);

/** Whether host data has the array type of a dtype. */
export const holds = (dtype: DType, data: unknown): data is TypedArray => data instanceof arrays[dtype];

/** The name of the array type that carries a dtype, for messages. */
export const arrayName = (dtype: DType): string => arrays[dtype].name;
