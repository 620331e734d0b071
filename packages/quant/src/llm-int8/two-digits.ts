import { abs, add, div, floor, max, maximum, mul, reshape, stopGradient, sub, type Tensor } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';

/** Rows of x at the nearest of 255 steps, those of a product in int8: r·⌊x / r + ½⌋, r = max|x| / 127 of the row. */
const firstDigit = (x: Tensor): Tensor => {
  const step = mul(maximum(max(abs(x), { axes: [-1], keepDims: true }), 1e-30), 1 / 127);
  return mul(floor(add(div(x, step), 0.5)), step);
};

/**
 * A layer without a bias whose product rounds its inputs to 8 bits, for inputs of 15: y = base(x̂) + base(x − x̂) + bias, x̂ being x as the product rounds it. What rounding leaves is at most half a step, so the second
 * product's steps are 1/254 of the first's. The gradient of x is that of one product, straight through.
 */
export const twoDigits = (base: Linear, bias: Tensor | null): Linear => ({
  inDim: base.inDim,
  outDim: base.outDim,
  apply: (x, call) => {
    const rows = reshape(x, [-1, x.shape.at(-1)!]);
    const first = stopGradient(firstDigit(rows));
    const y = add(base.apply(first, call), base.apply(sub(rows, first), call));
    return reshape(bias ? add(y, bias) : y, [...x.shape.slice(0, -1), base.outDim]);
  },
  dense: () => ({ ...base.dense(), bias }),
  encode: (values) => twoDigits(base.encode({ ...values, bias: null }), values.bias),
});
