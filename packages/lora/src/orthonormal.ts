import {
  add,
  concat,
  constant,
  div,
  less,
  matmul,
  mul,
  pad,
  select,
  slice,
  sqrt,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';

const one = (value: number): Tensor => constant(Float32Array.of(value), [1, 1]);

/** A − 2·v·vᵀ·A for a unit vector v [m, 1]. */
const reflected = (a: Tensor, v: Tensor): Tensor => sub(a, matmul(v, mul(matmul(v, a, { transposeA: true }), 2)));

/** The unit vector whose reflection leaves column k of [m, r] nothing below its diagonal. */
const mirror = (a: Tensor, k: number): Tensor => {
  const m = a.shape[0]!;
  const column = slice(slice(a, { axis: 1, start: k, end: k + 1 }), { axis: 0, start: k, end: m });
  const top = slice(column, { axis: 0, start: 0, end: 1 });
  const length = sqrt(sum(mul(column, column)));
  const grown = add(top, mul(select(less(top, 0), one(-1), one(1)), length));
  const v = concat(grown, slice(column, { axis: 0, start: 1, end: m - k }), { axis: 0 });
  return pad(div(v, sqrt(sum(mul(v, v)))), { axis: 0, before: k, after: 0 });
};

/**
 * Q [m, r] of the QR decomposition of a matrix [m, r], r ≤ m, by reflections; the signs of its columns are those of LAPACK, and so of torch.
 * Householder, 1958. https://doi.org/10.1145/320941.320947
 */
export const orthonormal = (matrix: Tensor): Tensor => {
  const [m, r] = matrix.shape as readonly [number, number];
  const mirrors: Tensor[] = [];
  let rest = matrix;
  // A column of one entry has nothing to lose: LAPACK leaves it.
  for (let k = 0; k < Math.min(r, m - 1); k++) {
    const v = mirror(rest, k);
    mirrors.push(v);
    rest = reflected(rest, v);
  }
  const start = constant(
    Float32Array.from({ length: m * r }, (_, i) => (i % r === Math.floor(i / r) ? 1 : 0)),
    [m, r],
  );
  return mirrors.reduceRight(reflected, start);
};
