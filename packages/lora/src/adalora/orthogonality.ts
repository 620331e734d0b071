import { add, constant, matmul, mul, sqrt, sub, sum, type Tensor } from '@peftjs/tensor';
import type { Triplets } from './triplets.ts';

/** ‖M − I‖ of a square M, Frobenius. */
export const fromIdentity = (m: Tensor): Tensor => {
  const n = m.shape[0]!;
  const identity = Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
  const d = sub(m, constant(identity, [n, n]));
  return sqrt(sum(mul(d, d)));
};

/** The mean over all A and B of how far their rows or columns are from orthonormal. */
export const orthogonality = (layers: readonly Triplets[]): Tensor => {
  const all = layers.flatMap(({ a, b }) => [matmul(a, a, { transposeB: true }), matmul(b, b, { transposeA: true })]);
  return mul(
    all.map(fromIdentity).reduce((x, y) => add(x, y)),
    1 / all.length,
  );
};
