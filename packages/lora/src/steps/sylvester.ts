import { add, matmul, maximum, mul, sqrt, sub, type Tensor } from '@peftjs/tensor';
import { identity } from '../cayley.ts';
import { inverted, norms } from './inverses.ts';

/** Doublings that reach f32's precision where the eigenvalues of P and Q together span some five powers of ten. */
const doublings = 18;

/**
 * The X of P·X + X·Q = C, of symmetric positive semidefinite P and Q of which one is definite, [n, r, r] each. With q = √(‖P‖·‖Q‖) it is Σₖ Uᵏ·Y·Vᵏ, U = (q − P)(q + P)⁻¹, V = (q − Q)(q + Q)⁻¹ and
 * Y = 2q·(q + P)⁻¹·C·(q + Q)⁻¹, whose terms are doubled in each step.
 * Smith, 1968. https://doi.org/10.1137/0116017
 */
export const sylvester = (p: Tensor, q: Tensor, c: Tensor): Tensor => {
  const size = maximum(sqrt(mul(norms(p), norms(q))), 1e-6); // [n, 1, 1]
  const scaled = mul(identity(p.shape[1]!), size);
  const [left, right] = [inverted(add(scaled, p)), inverted(add(scaled, q))];
  let x = mul(matmul(matmul(left, c), right), mul(size, 2));
  let [u, v] = [matmul(sub(scaled, p), left), matmul(right, sub(scaled, q))];
  for (let i = 0; i < doublings; i++) {
    x = add(x, matmul(matmul(u, x), v));
    [u, v] = [matmul(u, u), matmul(v, v)];
  }
  return x;
};
