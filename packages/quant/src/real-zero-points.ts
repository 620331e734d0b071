import {
  codeAt,
  halfToNumber,
  type PackedAttrs,
  type PackedFormat,
  packedFormats,
  type WholeBits,
  wholeBytes,
} from '@peftjs/tensor';
import { eachBlock } from './blocks.ts';
import { codeWriter } from './code-writer.ts';
import { checkBlockSize, checkFinite, type PackedData, type QuantFormat } from './format.ts';

/** Codes of a block's values, their scale and what is taken away from them. */
export interface Block {
  readonly codes: ArrayLike<number>;
  readonly scale: number;
  readonly min: number;
}

/** From the least to the largest value. */
export const fitted = (values: Float32Array, most: number): Block => {
  let [least, largest] = [values[0]!, values[0]!];
  for (const v of values) {
    least = Math.min(least, v);
    largest = Math.max(largest, v);
  }
  // Divided first: the difference of the largest numbers of f32 is none.
  const scale = Math.fround(largest / most - least / most);
  const codes = Uint8Array.from(values, (v) =>
    scale > 0 ? Math.max(0, Math.min(most, Math.round(v / scale - least / scale))) : 0,
  );
  return { codes, scale, min: -least };
};

/** The same codes, moved to where the values are on average. */
const moved = (values: Float32Array, { codes, scale, min }: Block): Block => {
  const apart = values.reduce((sum, v, i) => sum + v - (codes[i]! * scale - min), 0) / values.length;
  return { codes, scale, min: Math.fround(min - apart) };
};

const errorOf = (values: Float32Array, { codes, scale, min }: Block): number =>
  values.reduce((sum, v, i) => sum + (v - Math.fround(codes[i]! * scale - min)) ** 2, 0);

const floatAt = (data: ArrayLike<number> | undefined, i: number): number =>
  data instanceof Uint16Array ? halfToNumber(data[i]!) : (data?.[i] ?? 0);

/** The blocks of a packed matrix, by their number. */
const blocksOf =
  ({ codes, high, scale, min, minCodes }: PackedData, { format }: PackedAttrs) =>
  (block: number, at: number, count: number): Block => {
    const s = floatAt(scale, block);
    const all = Uint8Array.from({ length: count }, (_, i) =>
      codeAt(format, codes as Uint8Array, at + i, high as Uint8Array | undefined),
    );
    return { codes: all, scale: s, min: minCodes ? (minCodes[block] as number) * s : floatAt(min, block) };
  };

/** Packs the blocks of a matrix [rows, inDim] as they are chosen: by their values, number and place of their first code. */
const packBlocks = (
  attrs: PackedAttrs,
  values: Float32Array,
  rows: number,
  choose: (values: Float32Array, block: number, at: number) => Block,
): PackedData => {
  const blocks = rows * Math.ceil(attrs.inDim / attrs.block);
  const writer = codeWriter(attrs, rows);
  const [scale, min] = [new Float32Array(blocks), new Float32Array(blocks)];
  eachBlock(rows, attrs, (block, from, to, at) => {
    const chosen = choose(values.subarray(from, to), block, at);
    [scale[block], min[block]] = [chosen.scale, chosen.min];
    for (let i = 0; i < to - from; i++) writer.put(at + i, chosen.codes[i]!);
  });
  return { ...writer.planes, scale, min };
};

/**
 * A format of whole numbers with a scale and a real zero point for each block of inputs, w ≈ q·s − m, by the blocks that `blocksFor` makes of all values, in order. Where values take the place of packed ones, a block keeps its codes if that is
 * nearer: then only m moves, and a change that is the same for all of a block costs no more than rounding in f32. Throws `bad-option`.
 */
export const wholeWithMinima = (
  name: string,
  bits: WholeBits,
  blockSize: number,
  blocksFor: (blocks: readonly Float32Array[]) => readonly Block[],
): QuantFormat => {
  const format: PackedFormat = `uint${bits}`;
  checkBlockSize(name, blockSize, wholeBytes(format));
  const layout: QuantFormat['layout'] = (inDim) => ({ format, inDim, block: blockSize });
  const fitAll = (of: string, values: Float32Array, rows: number, inDim: number): readonly Block[] => {
    checkFinite(name, of, values, inDim);
    const blocks: Float32Array[] = [];
    eachBlock(rows, layout(inDim), (_, from, to) => blocks.push(values.subarray(from, to)));
    return blocksFor(blocks);
  };
  return {
    name,
    parts: [...(packedFormats[format].highBits > 0 ? (['high'] as const) : []), 'min'],
    layout,
    pack: (of, values, rows, inDim) => {
      const found = fitAll(of, values, rows, inDim);
      return packBlocks(layout(inDim), values, rows, (_, block) => found[block]!);
    },
    repack: (of, values, rows, old, attrs) => {
      const found = fitAll(of, values, rows, attrs.inDim);
      const blockAt = blocksOf(old, attrs);
      return packBlocks(layout(attrs.inDim), values, rows, (own, block, at) => {
        const [kept, anew] = [moved(own, blockAt(block, at, own.length)), found[block]!];
        return errorOf(own, kept) <= errorOf(own, anew) ? kept : anew;
      });
    },
  };
};

/**
 * Whole numbers with a scale and a real zero point for each block, from its least value to its largest. Throws `bad-option`.
 * Xu et al., 2023 (QA-LoRA, section 3.3). https://arxiv.org/abs/2309.14717
 */
export const realZeroPoints = (bits: WholeBits, blockSize: number = 64): QuantFormat =>
  wholeWithMinima(`int${bits}`, bits, blockSize, (blocks) => blocks.map((values) => fitted(values, 2 ** bits - 1)));
