import { nf4Levels } from '@peftjs/tensor';
import { absMax, eachBlock, midpoints, nearest } from './blocks.ts';
import { checkBlockSize, checkFinite, type QuantFormat } from './format.ts';
import { packScales } from './pack-scales.ts';

/** Options of `nf4`. */
export interface Nf4Options {
  /** Values that share a scale, along the input dimension; even. Default 64. */
  readonly blockSize?: number;
  /** Store the scales in 8 bits each. Default true. */
  readonly doubleQuant?: boolean;
}

const points = midpoints(nf4Levels);
const zero = nf4Levels.indexOf(0);

/**
 * 4-bit NormalFloat: each value is the nearest of 16 quantiles of a normal distribution, times the largest magnitude of its block. With
 * blocks of 64 and double quantisation 4.127 bits a value. The bytes are those of bitsandbytes where rows are whole blocks; else each row
 * begins a new block, where bitsandbytes goes on with the one before. Throws `bad-option`.
 * Dettmers, Pagnoni, Holtzman & Zettlemoyer, 2023 (QLoRA). https://arxiv.org/abs/2305.14314
 */
export const nf4 = ({ blockSize = 64, doubleQuant = true }: Nf4Options = {}): QuantFormat => {
  checkBlockSize('nf4', blockSize, 2);
  const layout: QuantFormat['layout'] = (inDim) => ({ format: 'nf4', inDim, block: blockSize });
  return {
    name: 'nf4',
    packsScales: doubleQuant,
    layout,
    pack: (name, values, rows, inDim) => {
      checkFinite('nf4', name, values, inDim);
      const attrs = layout(inDim);
      const blocks = rows * Math.ceil(inDim / blockSize);
      const codes = new Uint8Array((blocks * blockSize) / 2);
      const scales = new Float32Array(blocks);
      eachBlock(rows, attrs, (block, from, to, code) => {
        const most = absMax(values, from, to);
        scales[block] = most;
        const factor = most === 0 ? 0 : 1 / most;
        const at = (i: number): number => (i < to ? nearest(points, Math.fround(values[i]! * factor)) : zero);
        for (let i = from; i < from + blockSize; i += 2) codes[(code + i - from) >> 1] = (at(i) << 4) | at(i + 1);
      });
      return { codes, ...(doubleQuant ? packScales(scales) : { scale: scales }) };
    },
  };
};
