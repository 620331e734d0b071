import { add, concat, div, matmul, mul, reshape, slice, sqrt, sub, sum, type Tensor } from '@peftjs/tensor';
import { identity } from '../cayley.ts';

/** Steps that reach f32's precision where the largest eigenvalue is up to some 10,000 times the smallest. */
const steps = 20;

/** Inverses of symmetric positive definite matrices [n, r, r], by Newton's iteration X ← X(2I − MX) from I/‖M‖. */
const inverted = (m: Tensor): Tensor => {
  const twice = mul(identity(m.shape[1]!), 2);
  let x = div(mul(twice, 0.5), sqrt(sum(mul(m, m), { axes: [1, 2], keepDims: true })));
  for (let i = 0; i < steps; i++) x = matmul(x, sub(twice, matmul(m, x)));
  return x;
};

/**
 * Inverses of matrices M + damping·I, M symmetric and positive semidefinite, [r, r] each; those of one rank are inverted together, so that many
 * layers take as many kernels as one. Schulz, 1933. https://doi.org/10.1002/zamm.19330130111
 */
export const inverses = (matrices: readonly Tensor[], damping: number): readonly Tensor[] => {
  const found: Tensor[] = [];
  for (const rank of new Set(matrices.map((m) => m.shape[0]!))) {
    const own = [...matrices.entries()].filter(([, m]) => m.shape[0] === rank);
    const damped = mul(identity(rank), damping);
    const [first, ...more] = own.map(([, m]) => reshape(add(m, damped), [1, rank, rank]));
    const all = inverted(more.reduce((left, right) => concat(left, right, { axis: 0 }), first!));
    for (const [k, [i]] of own.entries())
      found[i] = reshape(slice(all, { axis: 0, start: k, end: k + 1 }), [rank, rank]);
  }
  return found;
};
