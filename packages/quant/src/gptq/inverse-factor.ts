import { PeftError } from '@peftjs/tensor';

/** L of a positive definite matrix [n, n] = L·Lᵀ, in place, its lower half. Throws `bad-data` for another. */
const cholesky = (m: Float64Array, n: number, who: string): void => {
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = m[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= m[i * n + k]! * m[j * n + k]!;
      if (i > j) m[i * n + j] = sum / m[j * n + j]!;
      else if (sum > 0) m[i * n + i] = Math.sqrt(sum);
      else
        throw new PeftError(
          'bad-data',
          `${who}: what it sees of the examples cannot be inverted; give more of them, or a larger damping`,
        );
    }
};

/** L⁻¹ of the lower half, in place. */
const invertLower = (m: Float64Array, n: number): void => {
  for (let j = 0; j < n; j++) {
    m[j * n + j] = 1 / m[j * n + j]!;
    for (let i = j + 1; i < n; i++) {
      let sum = 0;
      for (let k = j; k < i; k++) sum -= m[i * n + k]! * m[k * n + j]!;
      m[i * n + j] = sum / m[i * n + i]!;
    }
  }
};

/** The upper triangular U with H⁻¹ = Uᵀ·U, of a positive definite H [n, n]: the factor of H read backwards, inverted, and read backwards. Throws `bad-data`. */
export const inverseFactor = (h: Float64Array, n: number, who: string): Float64Array => {
  const m = h.slice().reverse();
  cholesky(m, n, who);
  invertLower(m, n);
  for (let i = 0; i < n; i++) m.fill(0, i * n + i + 1, (i + 1) * n);
  return m.reverse();
};
