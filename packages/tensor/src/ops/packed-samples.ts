import type { Sample } from '../define-op.ts';
import type { DType } from '../dtype.ts';
import { type Packed, type PackedAttrs, type PackedInputs, type PackedOption, packedShapes } from './packed-matrix.ts';

type PackedSample = Sample<PackedInputs[number] | PackedOption, PackedAttrs>;

const dtypes = { codes: 'u8', scaleCodes: 'u8', high: 'u8', minCodes: 'u8' } as const;
const ranges = {
  codes: [0, 256],
  scale: [0.1, 1],
  scaleCodes: [0, 256],
  scaleOffset: [0.5, 1],
  high: [0, 256],
  min: [-1, 1],
  minCodes: [0, 16],
} as const;

/** Scales and minima that are packed as whole numbers are small, so that values keep near 1. */
const small = { scale: [0.001, 0.01], min: [0.001, 0.01] } as const;

const sampleOf = (
  rows: number,
  attrs: PackedAttrs,
  parts: readonly PackedOption[] = [],
  kept: { readonly [P in keyof Packed<unknown>]?: DType } = {},
): PackedSample => ({
  shapes: packedShapes(attrs, rows, parts),
  attrs,
  dtypes: { ...dtypes, ...kept },
  ranges: { ...ranges, ...(attrs.scaleMap && attrs.scaleMap !== 'dynamic' && small) },
});

const half = { scale: 'f16', min: 'f16' } as const;

/**
 * Packed matrices: every way of storing codes (one plane, two, a table of levels), whole and filled-up blocks, a scale a row, rows that begin
 * inside a word, several groups of packed scales, minima plain and packed, zero points, scales in f16.
 */
export const packedSamples: readonly PackedSample[] = [
  sampleOf(5, { format: 'int8', inDim: 7, block: 7 }),
  sampleOf(33, { format: 'int8', inDim: 70, block: 32 }),
  sampleOf(20, { format: 'int8', inDim: 128, block: 16 }, ['scaleCodes', 'scaleOffset']),
  sampleOf(70, { format: 'nf4', inDim: 64, block: 64 }),
  sampleOf(9, { format: 'nf4', inDim: 33, block: 16 }),
  sampleOf(67, { format: 'nf4', inDim: 270, block: 64 }, ['scaleCodes', 'scaleOffset']),
  sampleOf(11, { format: 'uint4', inDim: 64, block: 32 }, ['min'], half),
  sampleOf(
    10,
    { format: 'uint4', inDim: 70, block: 16, group: 8, scaleMap: 'uint8' },
    ['scaleCodes', 'min', 'minCodes'],
    half,
  ),
  sampleOf(6, { format: 'int6', inDim: 48, block: 16, group: 3, scaleMap: 'int8' }, ['high', 'scaleCodes']),
  sampleOf(7, { format: 'uint5', inDim: 40, block: 8 }, ['high', 'minCodes']),
  sampleOf(9, { format: 'uint3', inDim: 33, block: 16 }, ['high', 'min']),
  sampleOf(8, { format: 'nf3', inDim: 64, block: 32 }, ['high'], half),
  sampleOf(12, { format: 'uint2', inDim: 36, block: 12 }, ['minCodes']),
  sampleOf(5, { format: 'int1', inDim: 24, block: 24 }),
  sampleOf(9, { format: 'sign', inDim: 37, block: 40 }),
  sampleOf(9, { format: 'uint8', inDim: 10, block: 5 }, ['min']),
  sampleOf(6, { format: 'fp4', inDim: 32, block: 16 }),
  sampleOf(7, { format: 'sint8', inDim: 20, block: 8 }),
  sampleOf(6, { format: 'fp8e4m3', inDim: 12, block: 12 }),
];
