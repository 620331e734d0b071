import { halfToNumber, type Packed, packedFormats, packedRow, type TypedArray } from '@peftjs/tensor';
import { unpackBlocks } from '@peftjs/tensor/executor';
import { type BitsMatrix, centreOf } from '../lower/few-rows.ts';
import type { HostArray } from './storage.ts';

/** The values of a matrix's constants by their names in the graph. */
export type BitsArrays = readonly (readonly [name: string, data: Uint8Array | Float32Array])[];

/** A copy, each byte of it changed. */
const changed = (bytes: Uint8Array, change: (byte: number) => number): Uint8Array => {
  const table = Uint8Array.from({ length: 256 }, (_, byte) => change(byte));
  const copy = new Uint8Array(bytes.length);
  for (let i = 0; i < copy.length; i++) copy[i] = table[bytes[i]!]!;
  return copy;
};

/** Rows of bytes of another length: cut off or filled up with zeros. */
const inRows = (bytes: Uint8Array, rows: number, width: number): Uint8Array => {
  const own = bytes.length / rows;
  if (own === width) return bytes;
  const copy = new Uint8Array(rows * width);
  for (let row = 0; row < rows; row++)
    copy.set(bytes.subarray(row * own, row * own + Math.min(own, width)), row * width);
  return copy;
};

/** The codes of a plane, each in a byte of its own. */
const spread = (plane: Uint8Array, bits: number): Uint8Array => {
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  const codes = new Uint8Array(plane.length * perByte);
  for (let i = 0; i < codes.length; i++)
    codes[i] = (plane[Math.floor(i / perByte)]! >> ((perByte - 1 - (i % perByte)) * bits)) & mask;
  return codes;
};

/** The codes [outDim, blocks, bytes of a block], the first of a byte in its lower bits. Those of 8 bits that lie so already are not copied. */
const codesOf = (
  { attrs, outDim, bits, block, blocks }: BitsMatrix,
  { codes, high }: Packed<HostArray>,
): Uint8Array => {
  const width = blocks * block;
  const { shift } = centreOf(attrs, bits);
  const { lowBits, highBits } = packedFormats[attrs.format];
  const bytes = codes as Uint8Array;
  if (lowBits === bits && highBits === 0 && shift === 0) {
    const rows = inRows(bytes, outDim, (width * bits) / 8);
    if (bits === 4) return changed(rows, (byte) => (byte >> 4) | (byte << 4));
    return attrs.format === 'sint8' ? changed(rows, (byte) => byte ^ 128) : rows;
  }
  const low = inRows(spread(bytes, lowBits), outDim, width);
  const upper = highBits === 0 ? null : inRows(spread(high as Uint8Array, highBits), outDim, width);
  for (let i = 0; i < low.length; i++) low[i] = low[i]! + (upper ? upper[i]! << lowBits : 0) + shift;
  if (bits === 8) return low;
  return Uint8Array.from({ length: low.length / 2 }, (_, i) => low[2 * i]! | (low[2 * i + 1]! << 4));
};

const floats = (x: TypedArray): ArrayLike<number> =>
  x instanceof Uint16Array ? Float32Array.from(x, halfToNumber) : x;

/** A matrix's constants, made of the values of its parts. */
export const packBits = (matrix: BitsMatrix, parts: Packed<HostArray>): BitsArrays => {
  const { attrs, outDim, bits, block, blocks } = matrix;
  const { centre, zero, shift } = centreOf(attrs, bits);
  const own = packedRow(attrs).blocks;
  const wide = Object.fromEntries(Object.entries(parts).map(([part, data]) => [part, floats(data)]));
  const blockAt = unpackBlocks(wide as unknown as Packed<ArrayLike<number>>, attrs);
  const scales = new Float32Array(outDim * blocks);
  const minima = new Float32Array(matrix.minima === null ? 0 : outDim * blocks);
  for (let row = 0; row < outDim; row++)
    for (let i = 0; i < blocks; i++) {
      const { scale, min } = blockAt(row * own + Math.floor((i * block) / attrs.block));
      scales[row * blocks + i] = scale;
      if (matrix.minima !== null) minima[row * blocks + i] = min - (centre - shift - zero) * scale;
    }
  return [
    [matrix.codes, codesOf(matrix, parts)],
    [matrix.scales, scales],
    ...(matrix.minima === null ? [] : [[matrix.minima, minima] as const]),
  ];
};
