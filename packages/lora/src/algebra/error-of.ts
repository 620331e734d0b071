import { Matrix } from 'ml-matrix';
import { sideBySide } from './side-by-side.ts';
import type { Product } from './truncated-svd.ts';

/** ‖B·A‖² without forming it: the sum of BᵀB ∘ AAᵀ. */
const squaredNorm = ({ b, a }: Product): number =>
  Math.max(0, Matrix.mul(b.transpose().mmul(b), a.mmul(a.transpose())).sum());

/** ‖got − wanted‖ / ‖wanted‖ of two products, which are not formed; Infinity where nothing was wanted and something is there. */
export const errorOf = (got: Product, wanted: Product): number => {
  const apart = squaredNorm(sideBySide(got, { b: wanted.b, a: Matrix.mul(wanted.a, -1) }));
  return apart === 0 ? 0 : Math.sqrt(apart / squaredNorm(wanted));
};
