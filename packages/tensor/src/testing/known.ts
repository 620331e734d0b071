import { evaluate } from '../compile.ts';
import { constant, type Tensor } from '../graph.ts';
import { randomSource } from '../random-source.ts';
import { reference } from '../reference/executor.ts';
import { type Shape, sizeOf } from '../shape.ts';

/** A constant of f32 values. */
export const known = (shape: Shape, values: readonly number[]): Tensor => constant(Float32Array.from(values), shape);

/** A constant of values drawn from [−1, 1), the same for the same name. */
export const drawn = (name: string, shape: Shape): Tensor => {
  const random = randomSource(1, name);
  return known(
    shape,
    Array.from({ length: sizeOf(shape) }, () => 2 * random() - 1),
  );
};

/** A tensor's values by its definition. */
export const valuesOf = async (t: Tensor): Promise<number[]> => [
  ...(await evaluate({ t }, { executor: reference() }))['t']!,
];

/** The largest difference between two lists; NaN counts as infinite. */
export const apart = (a: readonly number[], b: readonly number[]): number => {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce(
    (most, v, i) =>
      Math.abs(v - b[i]!) <= most ? most : Number.isNaN(v - b[i]!) ? Number.POSITIVE_INFINITY : Math.abs(v - b[i]!),
    0,
  );
};
