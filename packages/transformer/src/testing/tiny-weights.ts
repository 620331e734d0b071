import { normalValues, randomSource, type Shape, sizeOf } from '@peftjs/tensor';
import type { WeightSource } from '../weights.ts';

/** Values large enough for every part to matter, biases too, all different. */
export const tinyValues = (name: string, shape: Shape, seed: number): Float32Array => {
  const noise = normalValues(sizeOf(shape), 0.4, randomSource(seed, name));
  return /norm|\.ln_\w+\.weight$/i.test(name) ? noise.map((v) => 1 + v) : noise;
};

/** Such weights for a whole model. */
export const tinyWeights = (seed: number): WeightSource => ({
  has: () => true,
  load: (name, shape) => () => tinyValues(name, shape, seed),
});
