import type { HostInit, Scope } from '@peftjs/core';
import {
  add,
  constant,
  div,
  floor,
  matmul,
  maximum,
  mul,
  neg,
  normalValues,
  reshape,
  slice,
  stopGradient,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';

const matrix = (rows: number, columns: number, value: (i: number, j: number) => number): Tensor =>
  constant(
    Float32Array.from({ length: rows * columns }, (_, k) => value(Math.floor(k / columns), k % columns)),
    [rows, columns],
  );

const eye = (rows: number, columns: number): Tensor => matrix(rows, columns, (i, j) => (i === j ? 1 : 0));

/** (I + N)⁻¹ of N [r, r] with zeros on and below the diagonal: (I − N)(I + N²)(I + N⁴)…, which ends. */
const inverseOfUnit = (n: Tensor): Tensor => {
  const [r] = n.shape as readonly [number];
  let [product, power] = [sub(eye(r, r), n), n];
  for (let reach = 2; reach < r; reach *= 2) {
    power = matmul(power, power);
    product = add(product, matmul(product, power));
  }
  return product;
};

/**
 * The first r rows of the transposed product H_1 … H_r of reflections H_i = I − 2 v_i v_iᵀ / |v_i|², v_i the rows of V [r, d], as
 * I − V_r Tᵀ V with V_r the transpose of V's first columns and T⁻¹ = striu(V Vᵀ) + diag(V Vᵀ) / 2. Joffrin & Low, 2006 (UT transform).
 */
const reflections = (v: Tensor): Tensor => {
  const [r, d] = v.shape as readonly [number, number];
  const gram = matmul(v, v, { transposeB: true });
  const half = mul(sum(mul(gram, eye(r, r)), { axes: [1], keepDims: true }), 0.5); // [r, 1]
  const upper = mul(
    gram,
    matrix(r, r, (i, j) => (j > i ? 1 : 0)),
  );
  const inverse = div(inverseOfUnit(div(upper, half)), reshape(half, [1, r])); // T
  const left = matmul(slice(v, { axis: 1, start: 0, end: r }), inverse, { transposeA: true, transposeB: true });
  return sub(eye(r, d), matmul(left, v));
};

/** An orthogonal matrix [d, d]: reflections along random vectors, as many as it is to be random in its first columns. */
const randomOrthogonal =
  (columns: number): HostInit =>
  ([d], random) => {
    const size = d!;
    const q = new Float32Array(size * size);
    for (let i = 0; i < size; i++) q[i * size + i] = 1;
    for (let k = 0; k < columns; k++) {
      const v = normalValues(size, 1, random);
      const scale = 2 / v.reduce((total, x) => total + x * x, 0);
      for (let i = 0; i < size; i++) {
        let dot = 0;
        for (let j = 0; j < size; j++) dot += q[i * size + j]! * v[j]!;
        for (let j = 0; j < size; j++) q[i * size + j]! -= scale * dot * v[j]!;
      }
    }
    return q;
  };

/** −1 on the diagonal, by which torch says that nothing is reflected. */
const minusEye: HostInit = ([r, d]) =>
  Float32Array.from({ length: r! * d! }, (_, k) => (Math.floor(k / d!) === k % d! ? -1 : 0));

/**
 * r orthonormal rows [r, d], as `torch.nn.utils.parametrizations.orthogonal` holds and trains them: `original` [r, d], whose values beyond
 * the diagonal are vectors of reflections and whose diagonal, cut to whole numbers, is a frozen sign; and the orthogonal matrix `0.base`
 * [d, d], frozen, from which they start. The sign must not decay: at 0.99 it is cut to 0.
 */
export const orthogonalRows = (scope: Scope, r: number, d: number, trained: boolean): Tensor => {
  const original = trained
    ? scope.param('original', [r, d], minusEye, { decay: false })
    : scope.buffer('original', [r, d], minusEye);
  const base = scope.buffer('0.base', [d, d], randomOrthogonal(r));
  const diagonal = stopGradient(sum(mul(original, eye(r, d)), { axes: [1], keepDims: true })); // [r, 1]
  const sign = sub(floor(maximum(diagonal, 0)), floor(maximum(neg(diagonal), 0))); // cut towards zero
  const v = add(
    mul(
      original,
      matrix(r, d, (i, j) => (j > i ? 1 : 0)),
    ),
    eye(r, d),
  );
  return matmul(mul(reflections(v), sign), base, { transposeB: true });
};
