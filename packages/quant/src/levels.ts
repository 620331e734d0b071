import { type PackedFormat, packedFormats, wholeBytes } from '@peftjs/tensor';
import { absMax, midpoints, nearestBy } from './blocks.ts';
import { eachRow } from './code-writer.ts';
import { type ComputeOptions, checkBlockSize, checkCompute, checkFinite, type QuantFormat } from './format.ts';
import { packScales } from './pack-scales.ts';

/** Options of the formats that have a table of levels. */
export interface LevelsOptions extends ComputeOptions {
  /** Values that share a scale, along the input dimension; whole bytes of codes. */
  readonly blockSize?: number;
  /** Store the scales in 8 bits each. */
  readonly doubleQuant?: boolean;
}

interface LevelsDefaults {
  readonly blockSize: number | null;
  readonly doubleQuant: boolean;
}

/** Levels from low to high, and the code of each; of equal levels the first. */
const inOrder = (format: PackedFormat): { readonly codes: readonly number[]; readonly levels: readonly number[] } => {
  const { levels } = packedFormats[format];
  const codes = levels
    .map((_, code) => code)
    .filter((code) => levels.indexOf(levels[code]!) === code)
    .sort((a, b) => levels[a]! - levels[b]!);
  return { codes, levels: codes.map((code) => levels[code]!) };
};

/**
 * A format whose values are the nearest of a table of levels, times a scale: the largest magnitude of the block over the table's largest. A block
 * size of null is a whole row. Throws `bad-option`.
 */
export const levelsFormat = (
  format: PackedFormat,
  { blockSize: given, doubleQuant: asked, compute }: LevelsOptions,
  defaults: LevelsDefaults,
): QuantFormat => {
  checkCompute(format, { compute });
  const blockSize = given ?? defaults.blockSize;
  const doubleQuant = asked ?? defaults.doubleQuant;
  const whole = wholeBytes(format);
  if (blockSize !== null) checkBlockSize(format, blockSize, whole);
  const { codes: codesOf, levels } = inOrder(format);
  const [place, top] = [nearestBy(midpoints(levels)), levels.at(-1)!];
  const codeAt = Uint8Array.from(codesOf);
  const zero = packedFormats[format].levels.indexOf(0);
  const layout: QuantFormat['layout'] = (inDim) => ({
    format,
    inDim,
    block: blockSize ?? Math.ceil(inDim / whole) * whole,
  });
  return {
    name: format,
    compute,
    parts: [
      ...(packedFormats[format].highBits > 0 ? (['high'] as const) : []),
      ...(doubleQuant ? (['scaleCodes', 'scaleOffset'] as const) : []),
    ],
    layout,
    pack: (name, values, rows, inDim) => {
      checkFinite(format, name, values, inDim);
      const attrs = layout(inDim);
      const blocks = Math.ceil(inDim / attrs.block);
      const scales = new Float32Array(rows * blocks);
      const planes = eachRow(attrs, rows, (row, codes) => {
        codes.fill(zero, inDim);
        for (let block = 0; block < blocks; block++) {
          const [from, to] = [
            row * inDim + block * attrs.block,
            row * inDim + Math.min(inDim, (block + 1) * attrs.block),
          ];
          const most = absMax(values, from, to);
          scales[row * blocks + block] = most / top;
          const factor = most === 0 ? 0 : top / most;
          for (let i = from; i < to; i++) codes[i - row * inDim] = codeAt[place(Math.fround(values[i]! * factor))]!;
        }
      });
      return { ...planes, ...(doubleQuant ? packScales(scales) : { scale: scales }) };
    },
  };
};
