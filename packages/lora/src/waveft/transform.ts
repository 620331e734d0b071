import { add, concatAll, constant, matmul, pad, reshape, slice, type Tensor, transpose } from '@peftjs/tensor';
import { filtersOf, type Wavelet } from './filters.ts';

/** One level of a wavelet's transform along the last axis, between `size` values and `width` coefficients, the low half and then the high one. */
export interface Transform {
  readonly size: number;
  /** Even, and at least the size and the filter's length without 2. */
  readonly width: number;
  /** Values of coefficients: [..., width] -> [..., size]. */
  values(coefficients: Tensor): Tensor;
  /** The transpose of that, [..., size] -> [..., width]. */
  coefficients(values: Tensor): Tensor;
}

/**
 * The transform for values of a size: value p is Σⱼ low[p + L − 2 − 2j]·lowⱼ + high[p + L − 2 − 2j]·highⱼ with filters of L values, which leaves out the borders. It is
 * computed of pairs of values: filters advance by 2.
 */
export const transformOf = (wavelet: Wavelet, size: number): Transform => {
  const [low, high] = filtersOf(wavelet);
  const taps = low.length;
  const width = 2 * Math.ceil((size + taps - 2) / 2);
  const [half, pairs] = [width / 2, width / 2 + taps / 2 - 1];
  const filter = constant(Float32Array.from(low.flatMap((v, i) => [v, high[i]!])), [taps, 2]);
  const offsets = Array.from({ length: taps / 2 }, (_, i) => i);
  return {
    size,
    width,
    values: (coefficients) => {
      const front = coefficients.shape.slice(0, -1);
      const bands = transpose(reshape(coefficients, [-1, 2, half]), [0, 2, 1]);
      const spread = matmul(bands, filter, { transposeB: true }); // [..., half, taps]
      const laid = offsets.map((q) =>
        pad(slice(spread, { axis: 2, start: 2 * q, end: 2 * q + 2 }), {
          axis: 1,
          before: q,
          after: taps / 2 - 1 - q,
        }),
      );
      const whole = reshape(laid.reduce(add), [-1, 2 * pairs]);
      return reshape(slice(whole, { axis: 1, start: taps - 2, end: taps - 2 + size }), [...front, size]);
    },
    coefficients: (values) => {
      const front = values.shape.slice(0, -1);
      const padded = pad(reshape(values, [-1, size]), { axis: 1, before: taps - 2, after: width - size });
      const paired = reshape(padded, [-1, pairs, 2]);
      const windows = offsets.map((q) => slice(paired, { axis: 1, start: q, end: q + half }));
      const bands = matmul(concatAll(windows, 2), filter); // [..., half, 2]
      return reshape(transpose(bands, [0, 2, 1]), [...front, width]);
    },
  };
};
