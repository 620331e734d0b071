import { nf4Levels, type PackedFormat } from '@peftjs/tensor';

/** WGSL that reads the codes in the words of an array. */
export interface PackedWgsl {
  readonly declarations: string;
  /** The level of the i-th code. */
  level(i: string): string;
  /** Those of four, `i` a multiple of four. */
  levels(i: string): string;
}

/** How the codes of each format are read. */
export const packedWgsl: { readonly [F in PackedFormat]: (array: string) => PackedWgsl } = {
  int8: (array) => ({
    declarations: '',
    level: (i) => `(f32(extractBits(${array}[${i} >> 2u], (${i} & 3u) * 8u, 8u)) - 128.0)`,
    levels: (i) => `(vec4<f32>(unpack4xU8(${array}[${i} >> 2u])) - 128.0)`,
  }),
  nf4: (array) => ({
    declarations: `const ${array}_levels = array<f32, 16>(${nf4Levels.join(', ')});`,
    level: (i) => `${array}_levels[extractBits(${array}[${i} >> 3u], ((${i} & 7u) ^ 1u) * 4u, 4u)]`,
    levels: (i) =>
      `vec4<f32>(${[1, 0, 3, 2].map((code) => `${array}_levels[extractBits(${array}[${i} >> 3u], (${i} & 4u) * 4u + ${4 * code}u, 4u)]`).join(', ')})`,
  }),
};
