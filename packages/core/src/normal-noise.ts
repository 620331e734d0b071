import { cos, log, mul, sqrt, sub, type Tensor } from '@peftjs/tensor';
import type { Scope } from './method.ts';

/** Values of N(0, 1) in a training pass, of uniform ones; null in evaluation. Box & Muller, 1958. https://doi.org/10.1214/aoms/1177706645 */
export const normalNoise = ({ draw }: Pick<Scope, 'draw'>, shape: readonly number[]): Tensor | null => {
  if (!draw) return null;
  const [u, v] = [draw(shape), draw(shape)];
  return mul(sqrt(mul(log(sub(1, u)), -2)), cos(mul(v, 2 * Math.PI)));
};
