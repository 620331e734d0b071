const squared = (v: Float64Array): number => v.reduce((total, x) => total + x * x, 0);

/**
 * The rows P [r, d] of a matrix that torch's orthogonal parametrisation holds as `original` [d, r] and `base` [d, d]:
 * Pᵀ = base · (the first r columns of H_1 … H_r) · trunc(diag(original)), H_i = I − 2 a aᵀ / |a|² with a 1 at i and `original` below.
 * Source: torch, `nn/utils/parametrizations.py`, https://github.com/pytorch/pytorch/blob/main/torch/nn/utils/parametrizations.py
 */
export const orthogonalFrom = (original: Float32Array, base: Float32Array, r: number, d: number): Float32Array => {
  const vectors = Array.from({ length: r }, (_, i) =>
    Float64Array.from({ length: d }, (_, j) => (j < i ? 0 : j === i ? 1 : original[j * r + i]!)),
  );
  const rows = new Float32Array(r * d);
  for (let c = 0; c < r; c++) {
    const column = new Float64Array(d);
    column[c] = 1;
    for (const a of vectors.toReversed()) {
      const along = (2 * a.reduce((total, x, j) => total + x * column[j]!, 0)) / squared(a);
      for (let j = 0; j < d; j++) column[j]! -= along * a[j]!;
    }
    const sign = Math.trunc(original[c * r + c]!);
    for (let k = 0; k < d; k++) {
      let total = 0;
      for (let j = 0; j < d; j++) total += base[k * d + j]! * column[j]!;
      rows[c * d + k] = sign * total;
    }
  }
  return rows;
};

/** How far rows [r, d] are from orthonormal ones: the largest entry of |P Pᵀ − I|. */
export const skewOf = (rows: Float32Array, r: number, d: number): number => {
  let most = 0;
  for (let i = 0; i < r; i++)
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let k = 0; k < d; k++) dot += rows[i * d + k]! * rows[j * d + k]!;
      most = Math.max(most, Math.abs(dot - (i === j ? 1 : 0)));
    }
  return most;
};

/**
 * An orthogonal matrix [d, d] whose first r columns are given orthonormal rows [r, d]; the others are some complement, by Householder's
 * reflections. Golub & Van Loan, Matrix Computations, 5.2.
 */
export const completed = (rows: Float32Array, r: number, d: number): Float32Array => {
  const left = Float64Array.from(rows);
  const reflections: Float64Array[] = [];
  for (let k = 0; k < r; k++) {
    const v = left.slice(k * d, (k + 1) * d).fill(0, 0, k);
    v[k]! += Math.sign(v[k]! || 1) * Math.sqrt(squared(v));
    const scale = Math.sqrt(2 / squared(v));
    reflections.push(v.map((x) => x * scale));
    for (let i = k; i < r; i++) {
      let dot = 0;
      for (let j = k; j < d; j++) dot += left[i * d + j]! * reflections[k]![j]!;
      for (let j = k; j < d; j++) left[i * d + j]! -= dot * reflections[k]![j]!;
    }
  }
  const q = new Float64Array(d * d);
  for (let i = 0; i < d; i++) q[i * d + i] = 1;
  for (const v of reflections.toReversed()) {
    const dots = new Float64Array(d);
    for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) dots[j]! += v[i]! * q[i * d + j]!;
    for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) q[i * d + j]! -= v[i]! * dots[j]!;
  }
  const base = Float32Array.from(q);
  for (let k = 0; k < r; k++) for (let i = 0; i < d; i++) base[i * d + k] = rows[k * d + i]!;
  return base;
};
