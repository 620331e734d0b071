import type { Shape, Spec } from '@peftjs/tensor';
import { broadcastStrides } from '@peftjs/tensor/op';

/** Batch axes of a product, outermost first, with the steps of either side in elements; as few axes as say it. */
export interface MatmulBatch {
  readonly sizes: readonly number[];
  readonly a: readonly number[];
  readonly b: readonly number[];
}

const matrixSteps = ({ shape }: Spec, into: Shape): number[] => {
  const size = shape.at(-1)! * shape.at(-2)!;
  return broadcastStrides(shape.slice(0, -2), into).map((s) => s * size);
};

/** Broadcast batch axes with neighbours merged where both sides walk them as one, so most products have none or one. */
export const batchAxes = (a: Spec, b: Spec, leading: Shape): MatmulBatch => {
  const steps = { a: matrixSteps(a, leading), b: matrixSteps(b, leading) };
  const merged: { size: number; a: number; b: number }[] = [];
  for (const [i, size] of leading.entries()) {
    if (size === 1) continue;
    const axis = { size, a: steps.a[i]!, b: steps.b[i]! };
    const outer = merged.at(-1);
    if (outer && outer.a === axis.a * size && outer.b === axis.b * size)
      merged[merged.length - 1] = { ...axis, size: outer.size * size };
    else merged.push(axis);
  }
  return { sizes: merged.map((x) => x.size), a: merged.map((x) => x.a), b: merged.map((x) => x.b) };
};
