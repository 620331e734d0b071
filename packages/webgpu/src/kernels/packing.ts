import type { PackedFormat } from '@peftjs/tensor';
import { packedWgsl } from './packed-formats.ts';

/** How the elements of a matrix are packed: codes, four bytes to a word, and an f32 scale for each block of them. */
export interface Packing {
  readonly format: PackedFormat;
  /** The buffer of the scales. */
  readonly scales: string;
  /** Elements of a block. */
  readonly block: number;
  /** The part of the scales that is bound, in bytes. Default: all. */
  readonly window?: { readonly offset: number; readonly bytes: number };
}

/** The parameters that `unpackWgsl` reads. */
export const packingParams = (side: string, { block }: Packing): Readonly<Record<string, number>> => ({
  [`${side}Block`]: block,
});

/** `fn at_<side>(i: u32) -> f32`: the i-th element of the matrix in the array `<side>`, by the scales in `<side>_scales`. */
export const unpackWgsl = (side: string, { format }: Packing): string => {
  const { declarations, level } = packedWgsl[format](side);
  return `${declarations}
fn at_${side}(i: u32) -> f32 { return ${level('i')} * ${side}_scales[i / p.${side}Block]; }`;
};

/** `fn at4_<side>(i: u32) -> vec4<f32>`: four elements from the i-th, a multiple of four; blocks must be of whole fours. */
export const unpackFourWgsl = (side: string, { format }: Packing): string => {
  const { declarations, levels } = packedWgsl[format](side);
  return `${declarations}
fn at4_${side}(i: u32) -> vec4<f32> { return ${levels('i')} * ${side}_scales[i / p.${side}Block]; }`;
};
