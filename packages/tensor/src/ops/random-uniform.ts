import type { Tensor } from '../graph.ts';
import type { Shape } from '../shape.ts';
import { bitsToUniform } from './bits-to-uniform.ts';
import { randomBits } from './random-bits.ts';

/** Uniform f32 in [0, 1), multiples of 2⁻²⁴, from a seed and a stream as in `randomBits`. Throws as `randomBits`. */
export const randomUniform = (seed: Tensor | number, shape: Shape, stream: number): Tensor =>
  bitsToUniform(randomBits(seed, { shape, stream }));
