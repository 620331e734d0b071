import { halfToNumber, type PackedAttrs, PeftError, packedFormats } from '@peftjs/tensor';
import { codeWriter } from '../../code-writer.ts';
import type { PackedData, Storage } from '../../format.ts';
import { type GgmlFormat, ggml } from '../ggml.ts';
import { type IqCodec, type IqType, iqCodecs } from './types.ts';

/** Values of a block. */
const size = 256;

/** A type of GGML's blocks whose values are vectors of a codebook: read, not written. */
export interface IqBlocks {
  readonly name: IqType;
  /** GGML's number of the type. */
  readonly id: number;
  /** Values of a block, of which a row is a whole number. */
  readonly blockSize: number;
  /** Bytes of a block. */
  readonly blockBytes: number;
  /** How a matrix lies in memory, code by code. */
  readonly storage: Storage;
  /** The type that other values of such a layer are packed in, as after a merge: `Q2_K`, of `IQ3` `Q3_K`. */
  readonly instead: GgmlFormat;
  /** A matrix [rows, inDim] of a file's bytes. Values are as GGML has them, to the bit. Throws `bad-shape`, `bad-data`. */
  read(name: string, bytes: Uint8Array, rows: number, inDim: number): Promise<PackedData>;
  /** The values of a file's bytes, in f32, as GGML has them, to the bit. Throws `bad-shape`, `bad-data`. */
  values(name: string, bytes: Uint8Array, rows: number, inDim: number): Promise<Float32Array>;
}

/** The names of those types. */
export const iqTypes: readonly IqType[] = Object.keys(iqCodecs) as IqType[];

/** The f16 of a block as its bits; in IQ1_M it lies in the upper bits of four words. */
const halfBits = ({ scaleAt }: IqCodec, bytes: DataView, at: number): number => {
  if (scaleAt !== null) return bytes.getUint16(at + scaleAt, true);
  return [0, 1, 2, 3].reduce((all, i) => all | ((bytes.getUint16(at + 48 + 2 * i, true) >> 12) << (4 * i)), 0);
};

/** Visits the blocks of a file's bytes: their f16 as bits, the odd numbers of their sub-blocks, their codes. */
const eachBlock = async (
  type: IqType,
  name: string,
  bytes: Uint8Array,
  [rows, inDim]: readonly [number, number],
  visit: (index: number, half: number, odd: readonly number[], codes: Uint8Array) => void,
): Promise<void> => {
  const codec = iqCodecs[type];
  const { length, block } = codec;
  const blocks = (rows * inDim) / size;
  if (bytes.length !== blocks * codec.bytes)
    throw new PeftError(
      'bad-shape',
      `${type}: ${name} [${rows}, ${inDim}] takes ${blocks * codec.bytes} bytes, got ${bytes.length}`,
    );
  const grid = (await import('./grids.ts')).gridOf(codec.grid);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const negative = packedFormats[codec.format].levels.length / 2;
  const codes = new Uint8Array(size);
  for (let index = 0; index < blocks; index++) {
    const at = index * codec.bytes;
    const half = halfBits(codec, view, at);
    if ((half & 0x7c00) === 0x7c00)
      throw new PeftError(
        'bad-data',
        `${type}: block ${index} of ${name} has a scale of ${halfToNumber(half)}, so its values are no numbers. Take another file.`,
      );
    for (let j = 0; j < size / length; j++) {
      const entry = codec.entry(view, at, j);
      for (let i = 0; i < length; i++)
        codes[j * length + i] = grid[entry.index * length + i]! + ((entry.signs >> i) & 1) * negative;
    }
    const odd = Array.from({ length: size / block }, (_, sub) => 2 * codec.scaleCode(view, at, sub) + 1);
    visit(index, half, odd, codes);
  }
};

/**
 * A type of GGML's blocks by a codebook, as GGUF files hold them. Codes are taken apart when they are read, value by value (3 bits of IQ1 and IQ2, 4 of IQ3), and stand for the same values. llama.cpp chooses vectors by what data say
 * of the weights, which is not done here: `quantizeByGptq` and `quantizeByAwq` are for so few bits.
 * Gerganov et al., https://github.com/ggml-org/llama.cpp (ggml-common.h).
 */
export const iqBlocks = (type: IqType): IqBlocks => {
  const codec = iqCodecs[type];
  const { format, block } = codec;
  const layout = (inDim: number): PackedAttrs => {
    if (inDim % size > 0)
      throw new PeftError('bad-shape', `${type}: rows must be whole blocks of ${size} values, got rows of ${inDim}`);
    return { format, inDim, block, group: size / block, scaleMap: 'uint8' };
  };
  const subs = size / block;
  return {
    name: type,
    id: codec.id,
    blockSize: size,
    blockBytes: codec.bytes,
    storage: {
      name: type,
      parts: [...(packedFormats[format].highBits > 0 ? (['high'] as const) : []), 'scaleCodes'],
      halfScales: true,
      layout,
    },
    instead: ggml(codec.instead),
    read: async (name, bytes, rows, inDim) => {
      const { planes, put } = codeWriter(layout(inDim), rows);
      const blocks = (rows * inDim) / size;
      const [scale, scaleCodes] = [new Uint16Array(blocks), new Uint8Array(blocks * subs)];
      await eachBlock(type, name, bytes, [rows, inDim], (index, half, odd, codes) => {
        scale[index] = half;
        scaleCodes.set(odd, index * subs);
        for (const [i, code] of codes.entries()) put(index * size + i, code);
      });
      return { ...planes, scale, scaleCodes };
    },
    values: async (name, bytes, rows, inDim) => {
      layout(inDim);
      const out = new Float32Array(rows * inDim);
      const { levels } = packedFormats[format];
      await eachBlock(type, name, bytes, [rows, inDim], (index, half, odd, codes) => {
        const d = halfToNumber(half);
        for (const [i, code] of codes.entries())
          out[index * size + i] = levels[code]! * (odd[Math.floor(i / block)]! * d);
      });
      return out;
    },
  };
};
