import type { PackedFormat } from '@peftjs/tensor';
import type { GgmlType } from '../codec.ts';
import type { GridName } from './grids.ts';

/** The types of GGML's blocks whose values are vectors of a codebook. */
export type IqType = 'IQ1_S' | 'IQ1_M' | 'IQ2_XXS' | 'IQ2_XS' | 'IQ2_S' | 'IQ3_XXS' | 'IQ3_S';

/** A vector of a block: its number in the codebook, and a bit for each value, 1 where it is the negative one. */
export interface Entry {
  readonly index: number;
  readonly signs: number;
}

/** How a block of 256 values lies in a file. Scales are an f16 times odd numbers of 3 or 4 bits, one for `block` values. */
export interface IqCodec {
  readonly id: number;
  readonly bytes: number;
  readonly format: PackedFormat;
  readonly grid: GridName;
  /** Values of a vector. */
  readonly length: 4 | 8;
  /** Values that share a scale. */
  readonly block: 16 | 32;
  /** Where the f16 lies; null where it is spread. */
  readonly scaleAt: number | null;
  /** The odd number of a sub-block is twice this and 1. */
  scaleCode(bytes: DataView, at: number, sub: number): number;
  /** The j-th vector of a block. */
  entry(bytes: DataView, at: number, j: number): Entry;
  /** The type that other values of such a layer are packed in. */
  readonly instead: GgmlType;
}

/** 7 signs of 8, whose number of negative ones is even. */
const evenSigns = (seven: number): number => {
  let odd = 0;
  for (let rest = seven; rest > 0; rest >>= 1) odd ^= rest & 1;
  return seven | (odd << 7);
};

const nibble = (byte: number, upper: number): number => (byte >> (4 * upper)) & 15;

/** Signs of eight values and a scale in one word of 32 bits: those of IQ2_XXS and IQ3_XXS. */
const signsIn = (word: number, eight: number): number => evenSigns((word >>> (7 * eight)) & 127);

const ofIq1 = { format: 'iq1', grid: 'iq1', length: 8, instead: 'Q2_K' } as const;
const ofIq2 = { format: 'iq2', length: 8, scaleAt: 0, instead: 'Q2_K' } as const;
const ofIq3 = { length: 4, block: 32, scaleAt: 0, instead: 'Q3_K' } as const;

/** The types. Gerganov et al., https://github.com/ggml-org/llama.cpp (ggml-common.h, and gguf-py/gguf/quants.py for what they stand for). */
export const iqCodecs: { readonly [T in IqType]: IqCodec } = {
  IQ1_S: {
    ...ofIq1,
    id: 19,
    bytes: 50,
    block: 32,
    scaleAt: 0,
    scaleCode: (bytes, at, sub) => (bytes.getUint16(at + 34 + 2 * sub, true) >> 12) & 7,
    entry: (bytes, at, j) => {
      const upper = bytes.getUint16(at + 34 + 2 * (j >> 2), true);
      return {
        index: bytes.getUint8(at + 2 + j) | (((upper >> (3 * (j & 3))) & 7) << 8),
        signs: upper & 0x8000 ? 255 : 0,
      };
    },
  },
  IQ1_M: {
    ...ofIq1,
    id: 29,
    bytes: 56,
    block: 16,
    scaleAt: null,
    scaleCode: (bytes, at, sub) => (bytes.getUint16(at + 48 + 2 * (sub >> 2), true) >> (3 * (sub & 3))) & 7,
    entry: (bytes, at, j) => {
      const upper = nibble(bytes.getUint8(at + 32 + (j >> 1)), j & 1);
      return { index: bytes.getUint8(at + j) | ((upper & 7) << 8), signs: upper & 8 ? 255 : 0 };
    },
  },
  IQ2_XXS: {
    ...ofIq2,
    id: 16,
    bytes: 66,
    grid: 'iq2_xxs',
    block: 32,
    scaleCode: (bytes, at, sub) => bytes.getUint32(at + 2 + 8 * sub + 4, true) >>> 28,
    entry: (bytes, at, j) => ({
      index: bytes.getUint8(at + 2 + 8 * (j >> 2) + (j & 3)),
      signs: signsIn(bytes.getUint32(at + 2 + 8 * (j >> 2) + 4, true), j & 3),
    }),
  },
  IQ2_XS: {
    ...ofIq2,
    id: 17,
    bytes: 74,
    grid: 'iq2_xs',
    block: 16,
    scaleCode: (bytes, at, sub) => nibble(bytes.getUint8(at + 66 + (sub >> 1)), sub & 1),
    entry: (bytes, at, j) => {
      const word = bytes.getUint16(at + 2 + 2 * j, true);
      return { index: word & 511, signs: evenSigns(word >> 9) };
    },
  },
  IQ2_S: {
    ...ofIq2,
    id: 22,
    bytes: 82,
    grid: 'iq2_s',
    block: 16,
    scaleCode: (bytes, at, sub) => nibble(bytes.getUint8(at + 74 + (sub >> 1)), sub & 1),
    entry: (bytes, at, j) => ({
      index: bytes.getUint8(at + 2 + j) | (((bytes.getUint8(at + 66 + (j >> 2)) >> (2 * (j & 3))) & 3) << 8),
      signs: bytes.getUint8(at + 34 + j),
    }),
  },
  IQ3_XXS: {
    ...ofIq3,
    id: 18,
    bytes: 98,
    format: 'iq3',
    grid: 'iq3_xxs',
    scaleCode: (bytes, at, sub) => bytes.getUint32(at + 66 + 4 * sub, true) >>> 28,
    entry: (bytes, at, j) => {
      const eight = j >> 1;
      const signs = signsIn(bytes.getUint32(at + 66 + 4 * (eight >> 2), true), eight & 3);
      return { index: bytes.getUint8(at + 2 + j), signs: nibble(signs, j & 1) };
    },
  },
  IQ3_S: {
    ...ofIq3,
    id: 21,
    bytes: 110,
    format: 'iq3s',
    grid: 'iq3_s',
    scaleCode: (bytes, at, sub) => nibble(bytes.getUint8(at + 106 + (sub >> 1)), sub & 1),
    entry: (bytes, at, j) => ({
      index: bytes.getUint8(at + 2 + j) | (((bytes.getUint8(at + 66 + (j >> 3)) >> (j & 7)) & 1) << 8),
      signs: nibble(bytes.getUint8(at + 74 + (j >> 1)), j & 1),
    }),
  },
};
