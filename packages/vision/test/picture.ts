import { constant, sizeOf, type Tensor } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';

/** A batch of pictures for a model, as values of a wave. */
export const picture = ({ main }: Model, rows = 1): Tensor => {
  const shape = [rows, ...main.reads.picture!];
  return constant(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i * 0.7)),
    shape,
  );
};
