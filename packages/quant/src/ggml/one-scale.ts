import { bitAfterBit, inPlanes, type Plane, strided } from './code-bits.ts';
import type { BlockScales, FittedBlock, GgmlCodec } from './codec.ts';
import { codesOf, ends, extreme, inverse } from './fit.ts';
import { halfAt, putHalf } from './half-at.ts';

/** Scale and minimum of blocks that hold an f16 d, or d and the least value m: value = code·d + m. */
const dAt = (hasMin: boolean): Pick<GgmlCodec, 'readScales' | 'writeScales'> => ({
  readScales: (bytes, at): BlockScales => ({
    scale: [halfAt(bytes, at)],
    ...(hasMin && { min: [-halfAt(bytes, at + 2)] }),
  }),
  writeScales: (bytes, at, { scale, min }) => {
    putHalf(bytes, at, scale[0]!);
    if (hasMin) putHalf(bytes, at + 2, -min![0]!);
  },
});

/** Codes around 2^(bits−1): d takes the value of largest magnitude to the lowest code. */
const around =
  (bits: number) =>
  (values: Float32Array): FittedBlock => {
    const zero = 2 ** (bits - 1);
    const d = Math.fround(extreme(values) / -zero);
    return { scale: [d], codes: codesOf(values, inverse(d), zero + 0.5, 2 ** bits - 1) };
  };

/** Codes from the least value to the largest. */
const between =
  (bits: number) =>
  (values: Float32Array): FittedBlock => {
    const most = 2 ** bits - 1;
    const [least, largest] = ends(values);
    const d = Math.fround(Math.fround(largest - least) / most);
    return { scale: [d], min: [-least], codes: codesOf(values, inverse(d), 0.5, most, least) };
  };

const size = 32;
const nibbles = (first: number): Plane => strided(size, first, 4, 16);

/** 4 bits, one f16 scale for 32 values: (q − 8)·d. */
export const q4_0: GgmlCodec = {
  id: 2,
  size,
  bytes: 18,
  format: 'int4',
  codes: inPlanes([nibbles(2)]),
  ...dAt(false),
  fit: around(4),
};

/** 4 bits, f16 scale and least value for 32 values: q·d + m. */
export const q4_1: GgmlCodec = {
  id: 3,
  size,
  bytes: 20,
  format: 'uint4',
  hasMin: true,
  codes: inPlanes([nibbles(4)]),
  ...dAt(true),
  fit: between(4),
};

/** 5 bits, one f16 scale for 32 values: (q − 16)·d. */
export const q5_0: GgmlCodec = {
  id: 6,
  size,
  bytes: 22,
  format: 'int5',
  codes: inPlanes([nibbles(6), bitAfterBit(size, 2)]),
  ...dAt(false),
  fit: around(5),
};

/** 5 bits, f16 scale and least value for 32 values: q·d + m. */
export const q5_1: GgmlCodec = {
  id: 7,
  size,
  bytes: 24,
  format: 'uint5',
  hasMin: true,
  codes: inPlanes([nibbles(8), bitAfterBit(size, 4)]),
  ...dAt(true),
  fit: between(5),
};

/** Half away from zero, as C's roundf. */
const roundAway = (x: number): number => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);

/** 8 bits in two's complement, one f16 scale for 32 values: q·d, d = max|w| / 127. */
export const q8_0: GgmlCodec = {
  id: 8,
  size,
  bytes: 34,
  format: 'int8',
  codes: inPlanes([strided(size, 2, 8, 32)], (raw) => raw ^ 128),
  ...dAt(false),
  fit: (values) => {
    const d = Math.fround(Math.abs(extreme(values)) / 127);
    const factor = inverse(d);
    return { scale: [d], codes: Uint8Array.from(values, (v) => 128 + roundAway(Math.fround(v * factor))) };
  },
};

/** d after the codes of a block of ternary numbers. */
const dAfter = (place: number): Pick<GgmlCodec, 'readScales' | 'writeScales' | 'fit'> => ({
  readScales: (bytes, at) => ({ scale: [halfAt(bytes, at + place)] }),
  writeScales: (bytes, at, { scale }) => putHalf(bytes, at + place, scale[0]!),
  fit: (values) => {
    const d = Math.abs(extreme(values));
    const factor = inverse(d);
    return { scale: [d], codes: Uint8Array.from(values, (v) => 2 + roundAway(Math.fround(v * factor))) };
  },
});

/** −1, 0 or 1 times an f16 scale for 256 values, two bits each: codes are those of `int2`. */
export const tq2_0: GgmlCodec = {
  id: 35,
  size: 256,
  bytes: 66,
  format: 'int2',
  codes: inPlanes(
    [strided(256, 0, 2, 32)],
    (raw) => raw + 1,
    (code) => code - 1,
  ),
  ...dAfter(64),
};

/** Runs of bytes of which each holds five digits of base 3, or four: first byte, bytes, digits. */
const runs = [
  [0, 32, 5],
  [32, 16, 5],
  [48, 4, 4],
] as const;

/** −1, 0 or 1 times an f16 scale for 256 values, five of them in a byte as a fraction of base 3. */
export const tq1_0: GgmlCodec = {
  id: 34,
  size: 256,
  bytes: 54,
  format: 'int2',
  codes: {
    read: (bytes, at, into) => {
      let i = 0;
      for (const [first, width, digits] of runs)
        for (let digit = 0; digit < digits; digit++)
          for (let j = 0; j < width; j++) into[i++] = 1 + ((((bytes[at + first + j]! * 3 ** digit) & 255) * 3) >> 8);
    },
    write: (bytes, at, codes) => {
      let i = 0;
      for (const [first, width, digits] of runs) {
        for (let j = 0; j < width; j++) {
          let value = 0;
          for (let digit = 0; digit < 5; digit++)
            value = 3 * value + (digit < digits ? codes[i + digit * width + j]! - 1 : 0);
          bytes[at + first + j] = Math.floor((value * 256 + 242) / 243);
        }
        i += digits * width;
      }
    },
  },
  ...dAfter(52),
};
