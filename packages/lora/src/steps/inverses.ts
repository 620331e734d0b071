import { add, div, matmul, mul, sqrt, sub, sum, type Tensor } from '@peftjs/tensor';
import { identity } from '../cayley.ts';
import { byRank } from './by-rank.ts';

/** Steps that reach f32's precision where the largest eigenvalue is up to some 10,000 times the smallest. */
const steps = 20;

/** ‖M‖ of matrices [n, r, r]: [n, 1, 1]. */
export const norms = (m: Tensor): Tensor => sqrt(sum(mul(m, m), { axes: [1, 2], keepDims: true }));

/** Inverses of symmetric positive definite matrices [n, r, r], by Newton's iteration X ← X(2I − MX) from I/‖M‖. Schulz, 1933. https://doi.org/10.1002/zamm.19330130111 */
export const inverted = (m: Tensor): Tensor => {
  const twice = mul(identity(m.shape[1]!), 2);
  let x = div(mul(twice, 0.5), norms(m));
  for (let i = 0; i < steps; i++) x = matmul(x, sub(twice, matmul(m, x)));
  return x;
};

/** Inverses of matrices M + damping·I, M symmetric and positive semidefinite, [r, r] each; those of one rank are inverted together. */
export const inverses = (matrices: readonly Tensor[], damping: number): readonly Tensor[] =>
  byRank(
    matrices.map((m) => [m]),
    (all) => inverted(add(all!, mul(identity(all!.shape[1]!), damping))),
  );
