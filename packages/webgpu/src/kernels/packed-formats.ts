import { type PackedFormat, packedFormats } from '@peftjs/tensor';

/** WGSL that reads the codes in the words of an array, and in those of a second one, `<array>_high`, where the format has upper bits. */
export interface PackedWgsl {
  readonly declarations: string;
  /** The level of the i-th code. */
  readonly level: string;
  /** Those of four from the i-th, a multiple of four. */
  readonly levels: string;
}

/** The bits of the code in a plane that is `step` after the i-th: its word, and the place there; the first code of a byte is in its upper bits. */
const bitsAt = (array: string, bits: number, step: number): string => {
  const [perWord, perByte] = [32 / bits, 8 / bits];
  const reversed = (perByte - 1) ^ step;
  const place = reversed === 0 ? `(i & ${perWord - 1}u)` : `((i & ${perWord - 1}u) ^ ${reversed}u)`;
  return `extractBits(${array}[i / ${perWord}u], ${place} * ${bits}u, ${bits}u)`;
};

/** How the codes of a format are read, in terms of `i`. Four codes from a multiple of four lie in one word of each plane. */
export const packedWgsl = (format: PackedFormat, array: string): PackedWgsl => {
  const { lowBits, highBits, levels, zero } = packedFormats[format];
  const code = (step: number): string => {
    const low = bitsAt(array, lowBits, step);
    return highBits === 0 ? low : `(${low} | (${bitsAt(`${array}_high`, highBits, step)} << ${lowBits}u))`;
  };
  const four = (each: (step: number) => string): string => [0, 1, 2, 3].map(each).join(', ');
  // The bits of a code in front of the sign are those of the sign.
  if (format === 'sint8')
    return {
      declarations: '',
      level: `f32(extractBits(bitcast<i32>(${array}[i >> 2u]), (i & 3u) * 8u, 8u))`,
      levels: `vec4<f32>((vec4<i32>(bitcast<i32>(${array}[i >> 2u])) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u))`,
    };
  if (zero === null)
    return {
      declarations: `const ${array}_levels = array<f32, ${levels.length}>(${levels.join(', ')});`,
      level: `${array}_levels[${code(0)}]`,
      levels: `vec4<f32>(${four((step) => `${array}_levels[${code(step)}]`)})`,
    };
  const codes =
    lowBits === 8
      ? `((vec4<u32>(${array}[i >> 2u]) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u))`
      : `vec4<u32>(${four(code)})`;
  const less = zero === 0 ? '' : ` - ${zero}.0`;
  return { declarations: '', level: `(f32(${code(0)})${less})`, levels: `(vec4<f32>(${codes})${less})` };
};
