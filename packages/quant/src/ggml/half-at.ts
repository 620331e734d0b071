import { halfToNumber, numberToHalf } from '@peftjs/tensor';

/** The f16 at a byte of a file, as a number. */
export const halfAt = (bytes: DataView, at: number): number => halfToNumber(bytes.getUint16(at, true));

/** Writes the nearest f16 of a number. */
export const putHalf = (bytes: DataView, at: number, value: number): void =>
  bytes.setUint16(at, numberToHalf(value), true);

/** The nearest f16 of a number, as a number. */
export const asHalf = (value: number): number => halfToNumber(numberToHalf(value));
