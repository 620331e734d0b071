/** Data types of packed values: whole numbers from −2^(bits−1) or from 0, and the level tables of NormalFloat and floating point. */
export type PackedFormat =
  | `int${WholeBits}`
  | `uint${WholeBits}`
  | 'sint8'
  | 'sign'
  | 'nf2'
  | 'nf3'
  | 'nf4'
  | 'fp4'
  | 'mxfp4'
  | 'iq1'
  | 'iq2'
  | 'iq3'
  | 'iq3s'
  | 'iq4'
  | 'fp8e4m3'
  | 'fp8e5m2';

/** Widths of the whole numbers, in bits. */
export type WholeBits = 1 | 2 | 3 | 4 | 5 | 6 | 8;

/**
 * How a code is stored, and the number that it stands for; a value is its code's level times its block's scale, less its block's minimum. Readers
 * (reference, WGSL, ONNX) are made of these records alone.
 */
export interface PackedFormatDef {
  /** Bits of a code. */
  readonly bits: number;
  /** Bits of a code that lie in `codes`: a power of two, its lower ones. */
  readonly lowBits: 1 | 2 | 4 | 8;
  /** The others, which lie in `high`; 0 where there are none. */
  readonly highBits: 0 | 1 | 2;
  /** The level of each code. */
  readonly levels: readonly number[];
  /** The code whose level is `code − zero`, for each; null where levels are no whole numbers in a row. */
  readonly zero: number | null;
}

/** 3, 5 and 6 bits are two planes, so that no code straddles a byte. */
const planes = (bits: number): Pick<PackedFormatDef, 'bits' | 'lowBits' | 'highBits'> => {
  const lowBits = bits >= 8 ? 8 : bits >= 4 ? 4 : bits >= 2 ? 2 : 1;
  return { bits, lowBits, highBits: (bits - lowBits) as 0 | 1 | 2 };
};

const whole = (bits: number, zero: number): PackedFormatDef => ({
  ...planes(bits),
  levels: Array.from({ length: 2 ** bits }, (_, code) => code - zero),
  zero,
});

const table = (levels: readonly number[]): PackedFormatDef => ({
  ...planes(Math.log2(levels.length)),
  levels,
  zero: null,
});

/**
 * The 16 levels of NF4: quantiles of a normal distribution scaled to [−1, 1], with an exact 0.
 * Dettmers, Pagnoni, Holtzman & Zettlemoyer, 2023 (QLoRA, appendix E). https://arxiv.org/abs/2305.14314
 */
export const nf4Levels: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

/** The levels of binary floating point of 8 bits or fewer: sign, exponent, mantissa. Where `isFinite` says no, the level is 0: no packer writes it. */
const floats = (
  exponentBits: number,
  mantissaBits: number,
  bias: number,
  isFinite: (code: number) => boolean,
): readonly number[] =>
  Array.from({ length: 2 ** (1 + exponentBits + mantissaBits) }, (_, code) => {
    if (!isFinite(code)) return 0;
    const sign = code >> (exponentBits + mantissaBits) ? -1 : 1;
    const exponent = (code >> mantissaBits) & (2 ** exponentBits - 1);
    const fraction = (code & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
    const size = exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
    // Its −0 is a 0.
    return size === 0 ? 0 : sign * size;
  });

const wholeBits: readonly WholeBits[] = [1, 2, 3, 4, 5, 6, 8];
const integers = Object.fromEntries(
  wholeBits.flatMap((bits) => [
    [`int${bits}`, whole(bits, 2 ** (bits - 1))],
    [`uint${bits}`, whole(bits, 0)],
  ]),
) as Record<`${'int' | 'uint'}${WholeBits}`, PackedFormatDef>;

/**
 * The formats. A byte holds the first of its codes in its upper bits, as bitsandbytes packs NF4.
 * - `int8`: the value + 128; `uint8`: the value. The other widths alike. `sint8`: the value as two's complement, as products of whole numbers take it.
 * - `sign`: −1 or 1, of one bit.
 * - `nf2`, `nf3`, `nf4`: quantiles of a normal distribution, the first two as LoftQ makes them. Li et al., 2023. https://arxiv.org/abs/2310.08659
 * - `fp4`: bitsandbytes' floats of 4 bits (1 sign, 2 exponent, 1 mantissa; least 0.0052), https://github.com/bitsandbytes-foundation/bitsandbytes.
 * - `mxfp4`: those of the OCP Microscaling Formats 1.0. `iq4`: the 16 levels of GGML's IQ4_NL, `iq1` to `iq3s` those of the vectors of its IQ1, IQ2, IQ3_XXS and IQ3_S, the negative ones behind, https://github.com/ggml-org/llama.cpp.
 * - `fp8e4m3`, `fp8e5m2`: Micikevicius et al., 2022. https://arxiv.org/abs/2209.05433
 */
export const packedFormats: Readonly<Record<PackedFormat, PackedFormatDef>> = {
  ...integers,
  sint8: table(Array.from({ length: 256 }, (_, code) => (code < 128 ? code : code - 256))),
  sign: table([-1, 1]),
  nf2: table([-1, 0, 0.33791524171829224, 1]),
  nf3: table([
    -1, -0.4786292016506195, -0.217141792178154, 0, 0.16093020141124725, 0.33791524171829224, 0.5626170039176941, 1,
  ]),
  nf4: table(nf4Levels),
  fp4: table([
    0, 0.0052083334885537624, 0.6666666865348816, 1, 0.3333333432674408, 0.5, 0.1666666716337204, 0.25, 0,
    -0.0052083334885537624, -0.6666666865348816, -1, -0.3333333432674408, -0.5, -0.1666666716337204, -0.25,
  ]),
  mxfp4: table(floats(2, 1, 1, () => true)),
  iq1: table([-0.875, 0.125, 1.125, 0, -1.125, -0.125, 0.875, 0]),
  iq2: table([1, 3.125, 5.375, 0, -1, -3.125, -5.375, 0]),
  iq3: table([1, 3, 5, 7, 9, 11, 13, 15.5, -1, -3, -5, -7, -9, -11, -13, -15.5]),
  iq3s: table([1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15]),
  iq4: table([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]),
  fp8e4m3: table(floats(4, 3, 7, (code) => (code & 0x7f) !== 0x7f)),
  fp8e5m2: table(floats(5, 2, 15, (code) => (code & 0x7c) !== 0x7c)),
};

/** The code at a position of packed bytes, of a plane of so many bits. */
const inPlane = (bits: number, bytes: ArrayLike<number>, i: number): number => {
  const perByte = 8 / bits;
  return (bytes[Math.floor(i / perByte)]! >> ((perByte - 1 - (i % perByte)) * bits)) & (2 ** bits - 1);
};

/** The code at a position of packed bytes; `high` where the format has such bits. */
export const codeAt = (
  format: PackedFormat,
  codes: ArrayLike<number>,
  i: number,
  high: ArrayLike<number> = [],
): number => {
  const { lowBits, highBits } = packedFormats[format];
  const low = inPlane(lowBits, codes, i);
  return highBits === 0 ? low : low + (inPlane(highBits, high, i) << lowBits);
};
