/** How a matrix's values are packed: whole numbers, or the 16 levels of a normal distribution. */
export type PackedFormat = 'int8' | 'nf4';

/** The marks that tell one format from another; a value is its code's level times its block's scale. */
export interface PackedFormatDef {
  readonly bits: 4 | 8;
  /** The level of each code. */
  readonly levels: readonly number[];
}

/**
 * The 16 levels of NF4: quantiles of a normal distribution scaled to [−1, 1], with an exact 0.
 * Dettmers, Pagnoni, Holtzman & Zettlemoyer, 2023 (QLoRA, appendix E). https://arxiv.org/abs/2305.14314
 */
export const nf4Levels: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

/** The formats. `int8`: a byte holds the value + 128. `nf4`: a byte holds two codes, the first in its upper half, as bitsandbytes packs them. */
export const packedFormats: Readonly<Record<PackedFormat, PackedFormatDef>> = {
  int8: {
    bits: 8,
    levels: Array.from({ length: 256 }, (_, code) => code - 128),
  },
  nf4: {
    bits: 4,
    levels: nf4Levels,
  },
};

/** The code at a position of packed bytes. */
export const codeAt = (format: PackedFormat, bytes: ArrayLike<number>, i: number): number =>
  format === 'int8' ? bytes[i]! : i % 2 === 0 ? bytes[i >> 1]! >> 4 : bytes[i >> 1]! & 15;
