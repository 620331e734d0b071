import { inPlanes, type Plane, strided } from './code-bits.ts';
import type { BlockScales, FittedBlock, GgmlCodec } from './codec.ts';
import { codesOfLevels, fitLine, fitScale, type Levels, wholeLevels } from './fit.ts';
import { asHalf, halfAt, putHalf } from './half-at.ts';

const size = 256;
const plane = (first: number, bits: number, width = 32): Plane => strided(size, first, bits, width);

const parts = (values: Float32Array, block: number): Float32Array[] =>
  Array.from({ length: values.length / block }, (_, i) => values.subarray(i * block, (i + 1) * block));

/** Codes and their unit for numbers of no sign: the nearest multiples up to `most` of the largest over `most`, an f16. */
const inUnits = (numbers: readonly number[], most: number): { readonly unit: number; readonly codes: number[] } => {
  const unit = asHalf(Math.max(0, ...numbers) / most);
  return { unit, codes: numbers.map((x) => (unit > 0 ? Math.min(most, Math.round(x / unit)) : 0)) };
};

/** A line for each sub-block, scales and minima in units of the block's; then the codes that go with what is stored of them. */
const fitLines =
  (bits: number, block: number, mostUnits: number) =>
  (values: Float32Array): FittedBlock => {
    const most = 2 ** bits - 1;
    const subs = parts(values, block);
    const lines = subs.map((sub) => fitLine(sub, most));
    const scales = inUnits(
      lines.map(({ scale }) => scale),
      mostUnits,
    );
    const minima = inUnits(
      lines.map(({ min }) => min),
      mostUnits,
    );
    const codes = new Uint8Array(size);
    for (const [i, sub] of subs.entries()) {
      const [step, min] = [scales.unit * scales.codes[i]!, minima.unit * minima.codes[i]!];
      for (let j = 0; j < block; j++)
        codes[i * block + j] = step > 0 ? Math.max(0, Math.min(most, Math.round((sub[j]! + min) / step))) : 0;
    }
    return { scale: [scales.unit], scaleCodes: scales.codes, min: [minima.unit], minCodes: minima.codes, codes };
  };

/** A scale for each sub-block, as signed multiples of the block's; then the codes that go with what is stored of them. Scale codes are less `lowest`. */
export const fitScales =
  (levels: Levels, block: number, lowest: number) =>
  (values: Float32Array): FittedBlock => {
    const subs = parts(values, block);
    const scales = subs.map((sub) => fitScale(sub, levels));
    const largest = scales.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
    const unit = asHalf(largest / lowest);
    const units = scales.map((s) => (unit === 0 ? 0 : Math.max(lowest, Math.min(-lowest - 1, Math.round(s / unit)))));
    const codes = new Uint8Array(size);
    for (const [i, sub] of subs.entries()) codes.set(codesOfLevels(sub, unit * units[i]!, levels), i * block);
    return { scale: [unit], scaleCodes: units.map((u) => u + 128), codes };
  };

/** 2 bits; scales and minima of 16 values in 4 bits each. */
export const q2_K: GgmlCodec = {
  id: 10,
  size,
  bytes: 84,
  format: 'uint2',
  block: 16,
  scaleMap: 'uint8',
  hasMin: true,
  codes: inPlanes([plane(16, 2)]),
  readScales: (bytes, at) => {
    const packed = Array.from({ length: 16 }, (_, i) => bytes.getUint8(at + i));
    return {
      scale: [halfAt(bytes, at + 80)],
      scaleCodes: packed.map((b) => b & 15),
      min: [halfAt(bytes, at + 82)],
      minCodes: packed.map((b) => b >> 4),
    };
  },
  writeScales: (bytes, at, { scale, scaleCodes, min, minCodes }) => {
    for (let i = 0; i < 16; i++) bytes.setUint8(at + i, scaleCodes![i]! | (minCodes![i]! << 4));
    putHalf(bytes, at + 80, scale[0]!);
    putHalf(bytes, at + 82, min![0]!);
  },
  fit: fitLines(2, 16, 15),
};

/** 3 bits; scales of 16 values in 6 bits, from −32 to 31: their lower 4 bits in 8 bytes, the upper 2 in 4. */
export const q3_K: GgmlCodec = {
  id: 11,
  size,
  bytes: 110,
  format: 'int3',
  block: 16,
  scaleMap: 'int8',
  codes: inPlanes([plane(32, 2), plane(0, 1)]),
  readScales: (bytes, at) => ({
    scale: [halfAt(bytes, at + 108)],
    scaleCodes: Array.from({ length: 16 }, (_, i) => {
      const low = (bytes.getUint8(at + 96 + (i % 8)) >> (i < 8 ? 0 : 4)) & 15;
      const high = (bytes.getUint8(at + 104 + (i % 4)) >> (2 * (i >> 2))) & 3;
      return (low | (high << 4)) - 32 + 128;
    }),
  }),
  writeScales: (bytes, at, { scale, scaleCodes }) => {
    for (const [i, code] of scaleCodes!.entries()) {
      const value = code - 128 + 32;
      const [low, high] = [at + 96 + (i % 8), at + 104 + (i % 4)];
      bytes.setUint8(low, bytes.getUint8(low) | ((value & 15) << (i < 8 ? 0 : 4)));
      bytes.setUint8(high, bytes.getUint8(high) | ((value >> 4) << (2 * (i >> 2))));
    }
    putHalf(bytes, at + 108, scale[0]!);
  },
  fit: fitScales(wholeLevels(4, 7), 16, -32),
};

/** Scales and minima of eight sub-blocks in 6 bits each, after two f16: four bytes of each, whose upper bits hold those of the last four. */
const sixBits: Pick<GgmlCodec, 'readScales' | 'writeScales'> = {
  readScales: (bytes, at): BlockScales => {
    const packed = (i: number): number => bytes.getUint8(at + 4 + i);
    const of = (first: number, shift: number): number[] =>
      Array.from({ length: 8 }, (_, i) =>
        i < 4 ? packed(first + i) & 63 : ((packed(4 + i) >> shift) & 15) | ((packed(first + i - 4) >> 6) << 4),
      );
    return { scale: [halfAt(bytes, at)], scaleCodes: of(0, 0), min: [halfAt(bytes, at + 2)], minCodes: of(4, 4) };
  },
  writeScales: (bytes, at, { scale, scaleCodes: s, min, minCodes: m }) => {
    putHalf(bytes, at, scale[0]!);
    putHalf(bytes, at + 2, min![0]!);
    for (let i = 0; i < 4; i++) {
      bytes.setUint8(at + 4 + i, s![i]! | ((s![i + 4]! >> 4) << 6));
      bytes.setUint8(at + 8 + i, m![i]! | ((m![i + 4]! >> 4) << 6));
      bytes.setUint8(at + 12 + i, (s![i + 4]! & 15) | ((m![i + 4]! & 15) << 4));
    }
  },
};

/** 4 bits; scales and minima of 32 values in 6 bits each. */
export const q4_K: GgmlCodec = {
  id: 12,
  size,
  bytes: 144,
  format: 'uint4',
  block: 32,
  scaleMap: 'uint8',
  hasMin: true,
  codes: inPlanes([plane(16, 4)]),
  ...sixBits,
  fit: fitLines(4, 32, 63),
};

/** 5 bits; scales and minima of 32 values in 6 bits each. */
export const q5_K: GgmlCodec = {
  id: 13,
  size,
  bytes: 176,
  format: 'uint5',
  block: 32,
  scaleMap: 'uint8',
  hasMin: true,
  codes: inPlanes([plane(48, 4), plane(16, 1)]),
  ...sixBits,
  fit: fitLines(5, 32, 63),
};

/** 6 bits; scales of 16 values in 8 bits, from −128 to 127. */
export const q6_K: GgmlCodec = {
  id: 14,
  size,
  bytes: 210,
  format: 'int6',
  block: 16,
  scaleMap: 'int8',
  codes: inPlanes([plane(0, 4, 64), plane(128, 2)]),
  readScales: (bytes, at) => ({
    scale: [halfAt(bytes, at + 208)],
    scaleCodes: Array.from({ length: 16 }, (_, i) => bytes.getInt8(at + 192 + i) + 128),
  }),
  writeScales: (bytes, at, { scale, scaleCodes }) => {
    for (const [i, code] of scaleCodes!.entries()) bytes.setInt8(at + 192 + i, code - 128);
    putHalf(bytes, at + 208, scale[0]!);
  },
  fit: fitScales(wholeLevels(32, 63), 16, -128),
};
