import { numberToHalf, type PackedAttrs, PeftError, packedFormats } from '@peftjs/tensor';
import { codeWriter, packPlane } from '../code-writer.ts';
import { checkFinite, type PackedData, type QuantFormat } from '../format.ts';
import type { BlockScales, GgmlCodec, GgmlType } from './codec.ts';
import { q2_K, q3_K, q4_K, q5_K, q6_K } from './k-quants.ts';
import { q4_0, q4_1, q5_0, q5_1, q8_0, tq1_0, tq2_0 } from './one-scale.ts';
import { iq4_NL, iq4_XS, mxfp4, nvfp4 } from './table-blocks.ts';

const codecs: { readonly [T in GgmlType]: GgmlCodec } = {
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q2_K: q2_K,
  Q3_K: q3_K,
  Q4_K: q4_K,
  Q5_K: q5_K,
  Q6_K: q6_K,
  IQ4_NL: iq4_NL,
  IQ4_XS: iq4_XS,
  TQ1_0: tq1_0,
  TQ2_0: tq2_0,
  MXFP4: mxfp4,
  NVFP4: nvfp4,
};

/** The names of the types of blocks that are read and written. */
export const ggmlTypes: readonly GgmlType[] = Object.keys(codecs) as GgmlType[];

/** A format that is one of GGML's, with the bytes of GGUF files. */
export interface GgmlFormat extends QuantFormat {
  readonly name: GgmlType;
  /** GGML's number of the type. */
  readonly id: number;
  /** Values of a block, of which a row is a whole number. */
  readonly blockSize: number;
  /** Bytes of a block. */
  readonly blockBytes: number;
  /** A matrix [rows, inDim] of a file's bytes. Values are as GGML has them, to the bit. Throws `bad-shape`, `bad-data`. */
  read(name: string, bytes: Uint8Array, rows: number, inDim: number): PackedData;
  /** The values of a file's bytes, in f32, as GGML has them, to the bit. Throws `bad-shape`, `bad-data`. */
  values(name: string, bytes: Uint8Array, rows: number, inDim: number): Float32Array;
  /** The bytes for values [rows, inDim]. Throws `bad-shape`, `bad-data`. */
  write(name: string, values: Float32Array, rows: number, inDim: number): Uint8Array;
}

/** Arrays of a packed matrix that are filled block by block. */
interface Filling {
  readonly data: PackedData;
  put(block: number, codes: Uint8Array, scales: BlockScales): void;
}

const filling = (type: GgmlType, name: string, attrs: PackedAttrs, rows: number, codec: GgmlCodec): Filling => {
  const { size, block = size, scaleMap, hasMin = false, halfScales = true } = codec;
  const subs = size / block;
  const perBlock = scaleMap ? 1 : subs;
  const blocks = (rows * attrs.inDim) / size;
  const floats = (): Float32Array | Uint16Array =>
    halfScales ? new Uint16Array(blocks * perBlock) : new Float32Array(blocks * perBlock);
  const { planes } = codeWriter(attrs, rows);
  const { lowBits, highBits } = packedFormats[attrs.format];
  const data = {
    ...planes,
    scale: floats(),
    ...(scaleMap && { scaleCodes: new Uint8Array(blocks * subs) }),
    ...(hasMin && { min: floats() }),
    ...(hasMin && scaleMap && { minCodes: new Uint8Array(blocks * subs) }),
  };
  const store = (into: Float32Array | Uint16Array, at: number, values: readonly number[]): void => {
    for (const [i, v] of values.entries()) {
      into[at + i] = halfScales ? numberToHalf(v) : v;
      if (halfScales && (into[at + i]! & 0x7c00) === 0x7c00)
        throw new PeftError(
          'bad-data',
          `${type}: ${name} holds values so large that the scale of a block, ${v}, is beyond f16; take another format.`,
        );
    }
  };
  return {
    data,
    put: (index, codes, { scale, scaleCodes, min, minCodes }) => {
      packPlane(codes, 0, lowBits, data.codes, (index * size * lowBits) / 8);
      if (data.high) packPlane(codes, lowBits, highBits as 1 | 2, data.high, (index * size * highBits) / 8);
      store(data.scale, index * perBlock, scale);
      if (data.min) store(data.min, index * perBlock, min!);
      data.scaleCodes?.set(scaleCodes!, index * subs);
      data.minCodes?.set(minCodes!, index * subs);
    },
  };
};

/** Throws `bad-data` for a scale or a minimum that is no number: then no value of the block is. */
const checkScales = (type: GgmlType, name: string, index: number, { scale, min = [] }: BlockScales): void => {
  const odd = [...scale, ...min].find((v) => !Number.isFinite(Math.fround(v)));
  if (odd !== undefined)
    throw new PeftError(
      'bad-data',
      `${type}: block ${index} of ${name} has a scale of ${odd}, so its values are no numbers. Take another file.`,
    );
};

/** Scale and minimum of a sub-block, in f32. */
const subBlock = (
  { scale, scaleCodes, min, minCodes }: BlockScales,
  i: number,
  zero: number,
): { readonly scale: number; readonly min: number } => ({
  scale: scaleCodes ? Math.fround((scaleCodes[i]! - zero) * scale[0]!) : scale[i]!,
  min: min ? (minCodes ? Math.fround(minCodes[i]! * min[0]!) : min[i]!) : 0,
});

/** Throws `bad-shape` for rows that are not whole blocks. */
const checkRow = (type: GgmlType, { size }: GgmlCodec, inDim: number): void => {
  if (inDim % size > 0)
    throw new PeftError(
      'bad-shape',
      `${type}: rows must be whole blocks of ${size} values, got rows of ${inDim}; take a type with smaller blocks (${ggmlTypes.filter((t) => inDim % codecs[t].size === 0).join(', ') || 'none divides it'})`,
    );
};

/**
 * A type of GGML's blocks, as GGUF files of llama.cpp hold them: `quantize(model, ggml('Q8_0'))`. Rows must be whole blocks (32 values, or 256 in
 * the K types). `Q4_0` to `Q8_0` and `MXFP4` are packed to the same bytes as GGML's reference; the K types and `IQ4` choose scales by least squares, and
 * may differ from it in them. Throws `bad-option` for another name. Gerganov et al., https://github.com/ggml-org/llama.cpp (ggml-quants.c).
 */
export const ggml = (type: GgmlType): GgmlFormat => {
  if (!Object.hasOwn(codecs, type))
    throw new PeftError('bad-option', `ggml: there is no ${JSON.stringify(type)}; there are ${ggmlTypes.join(', ')}`);
  const codec = codecs[type];
  const { size, bytes: blockBytes, format, block = size, scaleMap, hasMin = false, halfScales = true } = codec;
  const layout = (inDim: number): PackedAttrs => {
    checkRow(type, codec, inDim);
    return { format, inDim, block, ...(scaleMap && { group: size / block, scaleMap }) };
  };
  const eachFitted = (
    values: Float32Array,
    visit: (index: number, block: ReturnType<GgmlCodec['fit']>) => void,
  ): void => {
    for (let i = 0; i * size < values.length; i++) visit(i, codec.fit(values.subarray(i * size, (i + 1) * size)));
  };
  const eachRead = (
    name: string,
    bytes: Uint8Array,
    rows: number,
    inDim: number,
    visit: (index: number, codes: Uint8Array, scales: BlockScales) => void,
  ): void => {
    const blocks = (rows * inDim) / size;
    if (bytes.length !== blocks * blockBytes)
      throw new PeftError(
        'bad-shape',
        `${type}: ${name} [${rows}, ${inDim}] takes ${blocks * blockBytes} bytes, got ${bytes.length}`,
      );
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const codes = new Uint8Array(size);
    for (let i = 0; i < blocks; i++) {
      codec.codes.read(bytes, i * blockBytes, codes);
      const scales = codec.readScales(view, i * blockBytes);
      checkScales(type, name, i, scales);
      visit(i, codes, scales);
    }
  };
  return {
    name: type,
    id: codec.id,
    blockSize: size,
    blockBytes,
    parts: [
      ...(packedFormats[format].highBits > 0 ? (['high'] as const) : []),
      ...(scaleMap ? (['scaleCodes'] as const) : []),
      ...(hasMin ? (['min'] as const) : []),
      ...(hasMin && scaleMap ? (['minCodes'] as const) : []),
    ],
    halfScales,
    layout,
    pack: (name, values, rows, inDim) => {
      checkFinite(type, name, values, inDim);
      const { data, put } = filling(type, name, layout(inDim), rows, codec);
      eachFitted(values, (i, fitted) => put(i, fitted.codes, fitted));
      return data;
    },
    read: (name, bytes, rows, inDim) => {
      const { data, put } = filling(type, name, layout(inDim), rows, codec);
      eachRead(name, bytes, rows, inDim, put);
      return data;
    },
    values: (name, bytes, rows, inDim) => {
      layout(inDim);
      const out = new Float32Array(rows * inDim);
      const { levels } = packedFormats[format];
      eachRead(name, bytes, rows, inDim, (index, codes, scales) => {
        for (let i = 0; i < size; i += block) {
          const { scale, min } = subBlock(scales, i / block, scaleMap === 'int8' ? 128 : 0);
          const from = index * size + i;
          for (let j = 0; j < block; j++) out[from + j] = Math.fround(levels[codes[i + j]!]! * scale) - min;
        }
      });
      return out;
    },
    write: (name, values, rows, inDim) => {
      layout(inDim);
      checkFinite(type, name, values, inDim);
      const bytes = new Uint8Array(((rows * inDim) / size) * blockBytes);
      const view = new DataView(bytes.buffer);
      eachFitted(values, (i, fitted) => {
        codec.codes.write(bytes, i * blockBytes, fitted.codes);
        codec.writeScales(view, i * blockBytes, fitted);
      });
      return bytes;
    },
  };
};
