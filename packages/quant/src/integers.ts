import { type PackedFormat, packedFormats, type WholeBits, wholeBytes } from '@peftjs/tensor';
import { absMax } from './blocks.ts';
import { eachRow } from './code-writer.ts';
import {
  type ComputeOptions,
  checkBlockSize,
  checkCompute,
  checkFinite,
  type PackedData,
  type QuantFormat,
} from './format.ts';
import { realZeroPoints } from './real-zero-points.ts';

/** Options of the formats of whole numbers. */
export interface IntOptions extends ComputeOptions {
  /** Values that share a scale, along the input dimension; whole bytes of codes. Default: 64; in `int8` all of an output's row. */
  readonly blockSize?: number;
  /**
   * Whether a block has a zero point too, so that its codes reach from its least value to its largest. `'real'`: it is any number, so that a change which moves all values of a block alike loses
   * nothing, as QA-LoRA's does when it is merged. Default true; in `int8` false.
   */
  readonly zeroPoints?: boolean | 'real';
}

/** Codes and scale of a block; a zero point where it has one. */
type RangeOf = (
  values: Float32Array,
  from: number,
  to: number,
) => { readonly step: number; readonly zero: number; readonly most: number };

const symmetric =
  (bits: number): RangeOf =>
  (values, from, to) => {
    const most = 2 ** (bits - 1) - 1;
    return { step: Math.fround(absMax(values, from, to) / most), zero: 2 ** (bits - 1), most: 2 ** bits - 1 };
  };

/** From the least to the largest value, 0 among them. */
const asymmetric =
  (bits: number): RangeOf =>
  (values, from, to) => {
    let [least, largest] = [0, 0];
    for (let i = from; i < to; i++) {
      least = Math.min(least, values[i]!);
      largest = Math.max(largest, values[i]!);
    }
    const most = 2 ** bits - 1;
    // Divided first: the difference of the largest numbers of f32 is none.
    const step = Math.fround(largest / most - least / most);
    return { step, zero: step === 0 ? 0 : Math.min(most, Math.round(-least / step)), most };
  };

/** Values [start, end) of a row, and how they become codes. */
interface Rounding {
  /** The place of the row's first value. */
  readonly from: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
  readonly zero: number;
  readonly least: number;
  readonly most: number;
}

/** codes[i] = round(values[from + i] / step) + zero, half up, within bounds. Cut to whole numbers by `| 0`, what a model is packed by takes a third of the time that `Math.round`, `Math.min` and `Math.max` take. */
const roundInto = (
  codes: Uint8Array,
  values: Float32Array,
  { from, start, end, step, zero, least, most }: Rounding,
): void => {
  const up = zero + 0.5;
  for (let i = start; i < end; i++) {
    const code = (values[from + i]! / step + up) | 0;
    codes[i] = code < least ? least : code > most ? most : code;
  }
};

const integers = (bits: WholeBits, { blockSize: given, zeroPoints: asked, compute }: IntOptions): QuantFormat => {
  checkCompute(`int${bits}`, { compute });
  const zeroPoints = asked ?? bits < 8;
  if (zeroPoints === 'real') return { ...realZeroPoints(bits, given), compute };
  const format: PackedFormat = `${zeroPoints ? 'uint' : 'int'}${bits}`;
  const blockSize = given ?? (bits === 8 ? null : 64);
  const whole = wholeBytes(format);
  if (blockSize !== null) checkBlockSize(`int${bits}`, blockSize, whole);
  const layout: QuantFormat['layout'] = (inDim) => ({ format, inDim, block: blockSize ?? inDim });
  const rangeOf = zeroPoints ? asymmetric(bits) : symmetric(bits);
  return {
    name: `int${bits}`,
    compute,
    parts: [
      ...(packedFormats[format].highBits > 0 ? (['high'] as const) : []),
      ...(zeroPoints ? (['minCodes'] as const) : []),
    ],
    layout,
    pack: (name, values, rows, inDim): PackedData => {
      checkFinite(`int${bits}`, name, values, inDim);
      const attrs = layout(inDim);
      const blocks = Math.ceil(inDim / attrs.block);
      const scale = new Float32Array(rows * blocks);
      const zeros = new Uint8Array(rows * blocks);
      const least = zeroPoints ? 0 : 1;
      const planes = eachRow(attrs, rows, (row, codes) => {
        for (let block = 0; block < blocks; block++) {
          const [start, end] = [block * attrs.block, Math.min(inDim, (block + 1) * attrs.block)];
          const { step, zero, most } = rangeOf(values, row * inDim + start, row * inDim + end);
          scale[row * blocks + block] = step;
          zeros[row * blocks + block] = zero;
          // Where the scale underflows, the values are 0 to f32.
          const middle = Math.max(least, Math.min(most, zero));
          if (step === 0) codes.fill(middle, start, end);
          else roundInto(codes, values, { from: row * inDim, start, end, step, zero, least, most });
          codes.fill(middle, end, start + attrs.block);
        }
      });
      return { ...planes, scale, ...(zeroPoints && { minCodes: zeros }) };
    },
  };
};

/** Whole numbers as products of whole numbers take them: two's complement, a scale for each output. */
const computed = (): QuantFormat => {
  const plain = integers(8, {});
  return {
    ...plain,
    compute: 'int8',
    layout: (inDim) => ({ format: 'sint8', inDim, block: inDim }),
    pack: (...given) => {
      const { codes, scale } = plain.pack(...given);
      const signed = codes as Uint8Array;
      for (let i = 0; i < signed.length; i++) signed[i]! ^= 128;
      return { codes, scale };
    },
  };
};

/**
 * 8-bit integers with a scale for each output, or for each block of inputs: w ≈ q·s, q in [−127, 127], s = max|w| / 127; with zero points
 * w ≈ (q − z)·s, q in [0, 255], as in `int4`. Throws `bad-option`. Dettmers, Lewis, Belkada & Zettlemoyer, 2022 (the vector-wise part).
 * https://arxiv.org/abs/2208.07339
 * With `compute: 'int8'` gradients go as in SwitchBack: Wortsman, Dettmers, Zettlemoyer, Morcos, Farhadi & Schmidt, 2023. https://arxiv.org/abs/2304.13013
 */
export const int8 = (options: IntOptions = {}): QuantFormat => {
  const { compute, blockSize, zeroPoints = false } = options;
  return compute === 'int8' && blockSize === undefined && zeroPoints === false ? computed() : integers(8, options);
};

/**
 * 4-bit integers by blocks of inputs: w ≈ (q − z)·s, q in [0, 15], s = (max w − min w) / 15, z = round(−min w / s), 0 among the values; 4.625 bits
 * a value. Without zero points w ≈ q·s, q in [−7, 7], s = max|w| / 7. Throws `bad-option`. Jacob et al., 2018 (section 2.1).
 * https://arxiv.org/abs/1712.05877
 */
export const int4 = (options: IntOptions = {}): QuantFormat => integers(4, options);

/** 3-bit integers by blocks of inputs, as `int4`: q in [0, 7], or [−3, 3]; 3.625 bits a value. Throws `bad-option`. */
export const int3 = (options: IntOptions = {}): QuantFormat => integers(3, options);

/** 2-bit integers by blocks of inputs, as `int4`: q in [0, 3], or [−1, 1]; 2.625 bits a value. Throws `bad-option`. */
export const int2 = (options: IntOptions = {}): QuantFormat => integers(2, options);
