import { absMax, eachBlock } from './blocks.ts';
import { checkBlockSize, checkFinite, type QuantFormat } from './format.ts';

/** Options of `int8`. */
export interface Int8Options {
  /** Values that share a scale, along the input dimension. Default: all of an output's row. */
  readonly blockSize?: number;
}

/**
 * 8-bit integers with a scale for each output, or for each block of inputs: w ≈ q·s, q in [−127, 127], s = max|w| / 127. Throws
 * `bad-option`. Dettmers, Lewis, Belkada & Zettlemoyer, 2022 (the vector-wise part). https://arxiv.org/abs/2208.07339
 */
export const int8 = ({ blockSize }: Int8Options = {}): QuantFormat => {
  if (blockSize !== undefined) checkBlockSize('int8', blockSize, 1);
  const layout: QuantFormat['layout'] = (inDim) => ({ format: 'int8', inDim, block: blockSize ?? inDim });
  return {
    name: 'int8',
    packsScales: false,
    layout,
    pack: (name, values, rows, inDim) => {
      checkFinite('int8', name, values, inDim);
      const attrs = layout(inDim);
      const blocks = rows * Math.ceil(inDim / attrs.block);
      const codes = new Uint8Array(blocks * attrs.block).fill(128);
      const scale = new Float32Array(blocks);
      eachBlock(rows, attrs, (block, from, to, code) => {
        scale[block] = absMax(values, from, to) / 127;
        const step = scale[block]!;
        // Where the scale underflows, the values are 0 to f32.
        if (step === 0) return;
        for (let i = from; i < to; i++)
          codes[code + i - from] = 128 + Math.max(-127, Math.min(127, Math.round(values[i]! / step)));
      });
      return { codes, scale };
    },
  };
};
