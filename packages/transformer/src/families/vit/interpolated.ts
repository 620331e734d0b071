import { constant, matmul, reshape, type Tensor, transpose } from '@peftjs/tensor';

/** The weight of a value so far away: Keys' cubic with a = −¾. Keys, 1981. https://doi.org/10.1109/TASSP.1981.1163711 */
const cubic = (distance: number): number => {
  const x = Math.abs(distance);
  if (x <= 1) return (1.25 * x - 2.25) * x * x + 1;
  return x < 2 ? -0.75 * (((x - 5) * x + 8) * x - 4) : 0;
};

/** [to, from]: a line of `from` values in `to` places, each of the four nearest values; beyond the ends stand those at them. */
const line = (from: number, to: number): Tensor => {
  const weights = new Float32Array(to * from);
  for (let at = 0; at < to; at++) {
    const place = ((at + 0.5) * from) / to - 0.5;
    const first = Math.floor(place) - 1;
    for (let near = first; near < first + 4; near++)
      weights[at * from + Math.min(from - 1, Math.max(0, near))]! += cubic(place - near);
  }
  return constant(weights, [to, from]);
};

/**
 * A square of rows [side², d] as one of other sides, [height · width, d], smoothly in both directions: torch's `interpolate` with `mode='bicubic'`, whose
 * filter does not widen where the square becomes smaller.
 */
export const interpolated = (rows: Tensor, height: number, width: number): Tensor => {
  const [count, d] = rows.shape as readonly [number, number];
  const side = Math.floor(Math.sqrt(count));
  const tall = reshape(matmul(line(side, height), reshape(rows, [side, side * d])), [height, side, d]);
  const turned = reshape(transpose(tall, [1, 0, 2]), [side, height * d]);
  const both = reshape(matmul(line(side, width), turned), [width, height, d]);
  return reshape(transpose(both, [1, 0, 2]), [height * width, d]);
};
