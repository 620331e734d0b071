import { add, broadcastTo, constant, gather, matmul, mul, reshape, type Tensor, transpose } from '@peftjs/tensor';
import { identity } from './cayley.ts';

/** Skew-symmetric matrices [blocks, n, n] of their values above the diagonal, [blocks, n·(n − 1)/2], row by row. */
export const skew = (values: Tensor, n: number): Tensor => {
  const [blocks, count] = values.shape as readonly [number, number];
  // On the diagonal, a place that there is not: gathering gives zero.
  const places = new Int32Array(n * n).fill(count);
  const signs = new Float32Array(n * n);
  let next = 0;
  for (let i = 0; i < n; i++)
    for (let j = i + 1; j < n; j++) {
      places[i * n + j] = places[j * n + i] = next++;
      [signs[i * n + j], signs[j * n + i]] = [1, -1];
    }
  const entries = gather(transpose(values), constant(places, [n * n])); // [n², blocks]
  return reshape(transpose(mul(entries, constant(signs, [n * n, 1]))), [blocks, n, n]);
};

/** Terms of the series, at most; each is a product of blocks, and the later ones come to nothing. */
export const mostTerms = 100;

/** (I − Q)⁻¹(I + Q) ≈ I + 2Q + 2Q² + … + Qᵏ, the last term by half. */
export const rotation = (q: Tensor, terms: number): Tensor => {
  const one = identity(q.shape[1]!);
  if (terms === 1) return broadcastTo(one, q.shape);
  let total = add(one, mul(q, 2));
  if (terms === 2) return total;
  let power = matmul(q, q);
  total = add(total, mul(power, 2));
  for (let k = 3; k < terms - 1; k++) {
    power = matmul(power, q);
    total = add(total, mul(power, 2));
  }
  return add(total, matmul(power, q));
};
