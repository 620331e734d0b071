import type { ComputeOptions, QuantFormat } from './format.ts';
import { levelsFormat } from './levels.ts';

/** Options of `fp8`. */
export interface Fp8Options extends ComputeOptions {
  /** `e4m3`: 4 bits of exponent and 3 of mantissa, to 448. `e5m2`: 5 and 2, to 57,344. Default `e4m3`. */
  readonly type?: 'e4m3' | 'e5m2';
  /** Values that share a scale, along the input dimension. Default: all of an output's row. */
  readonly blockSize?: number;
}

/**
 * 8-bit floating point with a scale for each output, or for each block of inputs: a value is the nearest number of the type times the scale, the
 * largest magnitude over the type's largest. Throws `bad-option`. Micikevicius et al., 2022 (FP8 Formats for Deep Learning).
 * https://arxiv.org/abs/2209.05433
 */
export const fp8 = ({ type = 'e4m3', ...options }: Fp8Options = {}): QuantFormat =>
  levelsFormat(`fp8${type}`, options, { blockSize: null, doubleQuant: false });
