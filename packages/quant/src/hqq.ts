import { checkOptions, mustBe, type Rules, type WholeBits } from '@peftjs/tensor';
import type { ComputeOptions, QuantFormat } from './format.ts';
import { type Block, fitted, wholeWithMinima } from './real-zero-points.ts';

/** Options of `hqq`. */
export interface HqqOptions extends ComputeOptions {
  /** Default 4. */
  readonly bits?: 2 | 3 | 4 | 8;
  /** Values that share a scale and a zero point, along the input dimension; whole bytes of codes. Default 64. */
  readonly blockSize?: number;
}

const rules: Rules<HqqOptions> = {
  bits: mustBe.such('2, 3, 4 or 8', (v) => [2, 3, 4, 8].includes(v as number)),
  blockSize: mustBe.count,
  compute: mustBe.oneOf(['int8']),
};

/** The norm p of the errors, the weight β of the splitting, and rounds at most: the reference's. */
const [norm, beta, rounds] = [0.7, 10, 20];

/** The minimiser of |e|ᵖ + β/2·(e − x)², by the generalised soft threshold: sign(x)·max(0, |x| − |x|^(p−1)/β). */
const shrunk = (x: number): number => Math.sign(x) * Math.max(0, Math.abs(x) - Math.abs(x) ** (norm - 1) / beta);

/** Steps a value, and the zero point, of a block that is being fitted. */
interface Fit {
  readonly perValue: number;
  readonly zero: number;
}

const codeOf = (value: number, { perValue, zero }: Fit, most: number): number =>
  Math.max(0, Math.min(most, Math.round(value * perValue + zero)));

/** The zero point that is best for the codes of now and errors that are shrunk: the mean of q − (w − e)/s; and the sum of all errors' magnitudes before. */
const step = (values: Float32Array, fit: Fit, most: number): { readonly zero: number; readonly error: number } => {
  let [sum, error] = [0, 0];
  for (const v of values) {
    const code = codeOf(v, fit, most);
    const apart = v - (code - fit.zero) / fit.perValue;
    sum += code - (v - (apart === 0 ? 0 : shrunk(apart))) * fit.perValue;
    error += Math.abs(apart);
  }
  return { zero: sum / values.length, error };
};

const fitBlocks = (blocks: readonly Float32Array[], bits: WholeBits): readonly Block[] => {
  const most = 2 ** bits - 1;
  const first = blocks.map((values) => fitted(values, most));
  // A block of equal values, or of a range that is none in f32, is what it is.
  const fits = first.map(({ scale, min }) => {
    const zero = min / scale;
    return scale > 0 && Number.isFinite(zero)
      ? { perValue: 1 / scale, zero: bits === 4 ? Math.round(zero) : zero }
      : null;
  });
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    let error = 0;
    for (const [i, fit] of fits.entries()) {
      if (!fit) continue;
      const next = step(blocks[i]!, fit, most);
      error += next.error;
      fits[i] = { perValue: fit.perValue, zero: next.zero };
    }
    if (!(error < best)) break;
    best = error;
  }
  return fits.map((fit, i) => {
    if (!fit) return first[i]!;
    const codes = Uint8Array.from(blocks[i]!, (v) => codeOf(v, fit, most));
    return { codes, scale: first[i]!.scale, min: Math.fround(fit.zero * first[i]!.scale) };
  });
};

/**
 * HQQ: whole numbers by blocks of inputs, w ≈ q·s − m, s from the least to the largest value; the zero points m/s are those that make the sum of |error|^0.7 small, found by half-quadratic splitting without data: errors are shrunk, then each zero
 * point is the mean that is best for them, up to 20 rounds while the errors of the whole matrix get smaller. Throws `bad-option`. Badri & Shaji, 2023. https://mobiusml.github.io/hqq_blog/. As the authors' code
 * (https://github.com/mobiusml/hqq) has it in f32, but that ranges below 10⁻⁴ keep a scale of their own.
 */
export const hqq = (options: HqqOptions = {}): QuantFormat => {
  checkOptions('hqq', rules, options);
  const { bits = 4, blockSize = 64, compute } = options;
  return { ...wholeWithMinima(`hqq${bits}`, bits, blockSize, (blocks) => fitBlocks(blocks, bits)), compute };
};
