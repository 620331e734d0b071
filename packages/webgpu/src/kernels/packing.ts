import { type PackedFormat, packedFormats } from '@peftjs/tensor';
import { packedWgsl } from './packed-formats.ts';

/** The part of a buffer that is bound, in bytes. */
interface Window {
  readonly offset: number;
  readonly bytes: number;
}

/** How the elements of a matrix are packed: codes, several to a word, and for each block of them an f32 scale, perhaps a minimum. */
export interface Packing {
  readonly format: PackedFormat;
  /** The buffer of the scales, f32; where there are minima, of pairs of both. Default: none, a value is its code's level. */
  readonly scales?: string;
  /** Whether the blocks have minima. Default false. */
  readonly hasMin?: boolean;
  /** The buffer of the codes' upper bits, where the format has such. */
  readonly high?: string;
  /** Elements of a block. */
  readonly block: number;
  /** The parts that are bound of the scales and of the upper bits. Default: all. */
  readonly windows?: { readonly scales: Window; readonly high?: Window };
}

/** A binding of a packed matrix beside its codes. */
export interface PackedBinding {
  readonly buffer: string;
  readonly as: string;
  readonly access: 'read';
  readonly element: string;
  readonly window?: Window;
}

/** Bytes of a block's scale and minimum. */
export const scaleBytes = ({ hasMin = false }: Pick<Packing, 'hasMin'>): number => (hasMin ? 8 : 4);

/** Bindings that `unpackWgsl` reads beside the codes. */
export const packingBindings = (side: string, { format, scales, hasMin, high, windows }: Packing): PackedBinding[] => {
  const of = (buffer: string, as: string, element: string, window?: Window): PackedBinding => ({
    buffer,
    as,
    access: 'read',
    element,
    ...(window && { window }),
  });
  const all = scales ? [of(scales, `${side}_scales`, hasMin ? 'vec2<f32>' : 'f32', windows?.scales)] : [];
  if (packedFormats[format].highBits > 0) all.push(of(high!, `${side}_high`, 'u32', windows?.high));
  return all;
};

/** The parameters that `unpackWgsl` reads. */
export const packingParams = (side: string, { block }: Packing): Readonly<Record<string, number>> => ({
  [`${side}Block`]: block,
});

/** A value of levels, by the scale, and the minimum, of its block. */
const valueOf = (side: string, { hasMin, scales }: Packing, levels: string): string => {
  if (!scales) return levels;
  const scale = `${side}_scales[i / p.${side}Block]`;
  return hasMin ? `${levels} * ${scale}.x - ${scale}.y` : `${levels} * ${scale}`;
};

/** `fn at_<side>(i: u32) -> f32`: the i-th element of the matrix in the array `<side>`, by what `packingBindings` binds. */
export const unpackWgsl = (side: string, packing: Packing): string => {
  const { declarations, level } = packedWgsl(packing.format, side);
  return `${declarations}
fn at_${side}(i: u32) -> f32 { return ${valueOf(side, packing, level)}; }`;
};

/** `fn at4_<side>(i: u32) -> vec4<f32>`: four elements from the i-th, a multiple of four; blocks must be of whole fours. */
export const unpackFourWgsl = (side: string, packing: Packing): string => {
  const { declarations, levels } = packedWgsl(packing.format, side);
  return `${declarations}
fn at4_${side}(i: u32) -> vec4<f32> { return ${valueOf(side, packing, levels)}; }`;
};
