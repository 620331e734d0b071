import type { Sample } from '../define-op.ts';
import type { Shape } from '../shape.ts';
import { type PackedAttrs, type PackedInputs, type PackedOptional, packedRow, scaleGroup } from './packed-matrix.ts';

type PackedSample = Sample<PackedInputs[number] | PackedOptional[number], PackedAttrs>;

const dtypes = { codes: 'u8', scaleCodes: 'u8' } as const;
const ranges = { codes: [0, 256], scale: [0.1, 1], scaleCodes: [0, 256], scaleOffset: [0.5, 1] } as const;

const sampleOf = (rows: number, attrs: PackedAttrs, packedScales: boolean): PackedSample => {
  const { blocks, bytes } = packedRow(attrs);
  const scales: { readonly scale: Shape } & Record<string, Shape> = packedScales
    ? { scale: [Math.ceil((rows * blocks) / scaleGroup)], scaleCodes: [rows, blocks], scaleOffset: [] }
    : { scale: [rows, blocks] };
  return { shapes: { codes: [rows, bytes], ...scales }, attrs, dtypes, ranges };
};

/** Packed matrices of both formats: whole and filled-up blocks, a scale a row, rows that begin inside a word, several groups of packed scales. */
export const packedSamples: readonly PackedSample[] = [
  sampleOf(5, { format: 'int8', inDim: 7, block: 7 }, false),
  sampleOf(33, { format: 'int8', inDim: 70, block: 32 }, false),
  sampleOf(20, { format: 'int8', inDim: 128, block: 16 }, true),
  sampleOf(70, { format: 'nf4', inDim: 64, block: 64 }, false),
  sampleOf(9, { format: 'nf4', inDim: 33, block: 16 }, false),
  sampleOf(67, { format: 'nf4', inDim: 270, block: 64 }, true),
];
