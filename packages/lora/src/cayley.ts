import { add, constant, div, matmul, mul, stopGradient, sub, sum, type Tensor, transpose } from '@peftjs/tensor';

/** Steps that reach f32's precision while the squares of a block's entries sum to 50,000 at most. */
const steps = 20;

/** I [n, n]. */
export const identity = (n: number): Tensor =>
  constant(
    Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0)),
    [n, n],
  );

/**
 * Rotations (I − S)(I + S)⁻¹ = 2(I + S)⁻¹ − I of skew-symmetric matrices S [blocks, n, n]. The inverse is found by Newton's iteration X ← X(2I − (I + S)X),
 * from (I + S)ᵀ/(1 + ‖S‖²), which always converges; its gradient is that of a last step, which is exact.
 * Schulz, 1933. https://doi.org/10.1002/zamm.19330130111
 */
export const cayley = (skew: Tensor): Tensor => {
  const one = identity(skew.shape[1]!);
  const better = (x: Tensor, a: Tensor): Tensor => sub(mul(x, 2), matmul(x, matmul(a, x)));
  const wanted = add(skew, one);
  const fixed = stopGradient(wanted);
  const still = stopGradient(skew);
  const bound = add(sum(mul(still, still), { axes: [1, 2], keepDims: true }), 1);
  let inverse = div(transpose(fixed, [0, 2, 1]), bound);
  for (let i = 0; i < steps; i++) inverse = better(inverse, fixed);
  return sub(mul(better(stopGradient(inverse), wanted), 2), one);
};
