import { grad } from '@peftjs/autograd';
import type { Gradients, Updates } from '@peftjs/core';
import {
  add,
  broadcastTo,
  concatAll,
  constant,
  type ProgramSpec,
  reshape,
  type Shape,
  sizeOf,
  slice,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { type Loss, meanOf, shareOf } from '@peftjs/transformer';
import { metricsOf } from './metrics-of.ts';

/** The sum of what batches give: gradients of all parameters, of the loss's sum, that sum, the loss's weight, and its metrics. */
export interface Gathered {
  /** Gradients of small parameters lie end to end in one, with loss and weight at its end; those of a large one have their own. */
  readonly variables: readonly Variable[];
  /** Adds a batch's. */
  add(loss: Loss): ProgramSpec;
  /** The mean of all, its gradients, and the means of metrics. */
  readonly mean: {
    readonly loss: Tensor;
    readonly gradients: Gradients;
    readonly metrics: Readonly<Record<string, Tensor>>;
  };
  /** Empties them. */
  readonly cleared: Updates;
}

/** Values of a gradient that is not joined with others: copies cost more than a kernel then, and a flat variable of all may be more than a device binds. */
const largeSize = 2 ** 16;
/** Values of a flat variable, at most. */
const flatSize = 2 ** 22;

/** Parts of a list whose sizes come to no more than a flat variable may have. */
const cut = (shapes: readonly Shape[]): number[][] => {
  const parts: number[][] = [[]];
  let size = 0;
  for (const [i, shape] of shapes.entries()) {
    size += sizeOf(shape);
    if (size > flatSize) {
      parts.push([]);
      size = sizeOf(shape);
    }
    parts.at(-1)!.push(i);
  }
  return parts;
};

/** A flat variable, and its parts as tensors of some shapes. */
const flatOf = (
  name: string,
  shapes: readonly Shape[],
): { readonly flat: Variable; readonly parts: readonly Tensor[] } => {
  const sizes = shapes.map(sizeOf);
  const total = sizes.reduce((a, b) => a + b, 0);
  const flat = variable(name, [total], () => new Float32Array(total));
  let end = 0;
  const parts = shapes.map((shape, i) => {
    const start = end;
    end += sizes[i]!;
    return reshape(sizes[i] === total ? flat : slice(flat, { axis: 0, start, end }), shape);
  });
  return { flat, parts };
};

/** Makes the variables and what is done with them; `metrics` are names of what losses report. */
export const makeGathered = (params: readonly Variable[], metrics: readonly string[] = []): Gathered => {
  const large = params.filter((p) => sizeOf(p.shape) >= largeSize);
  const small = params.filter((p) => sizeOf(p.shape) < largeSize);
  // What a batch gives, small ones first, then sum and weight of the loss and of each metric.
  const shapes: readonly Shape[] = [...small.map((p) => p.shape), ...[null, ...metrics].flatMap(() => [[], []])];
  const joined = cut(shapes).map((indices, i) => ({
    indices,
    ...flatOf(
      `gathered ${i}`,
      indices.map((at) => shapes[at]!),
    ),
  }));
  const own = large.map((p) => ({ param: p, ...flatOf(`${p.node.name}.gathered`, [p.shape]) }));
  const found = joined.flatMap(({ parts }) => parts);
  const numbers = found.slice(small.length);
  const [sum, weight] = numbers as [Tensor, Tensor, ...Tensor[]];
  const values = new Map([
    ...small.map((p, i) => [p, found[i]!] as const),
    ...own.map(({ param, parts }) => [param, parts[0]!] as const),
  ]);
  const variables = [...joined, ...own].map(({ flat }) => flat);
  const zero = constant(Float32Array.of(0), []);
  return {
    variables,
    add: (loss) => {
      const gradients = new Map(grad(loss.sum, [...params]).map((g, i) => [params[i]!, g]));
      const reported = [loss, ...Object.values(metricsOf(loss, metrics))];
      const given = [...small.map((p) => gradients.get(p)!), ...reported.flatMap((m) => [m.sum, m.weight])];
      const flat = (t: Tensor): Tensor => reshape(t, [-1]);
      return {
        updates: [
          ...joined.map(({ flat: to, indices }) => {
            const parts = indices.map((i) => flat(given[i]!));
            return [to, add(to, concatAll(parts, 0))] as const;
          }),
          ...own.map(({ flat: to, param }) => [to, add(to, flat(gradients.get(param)!))] as const),
        ],
      };
    },
    mean: {
      loss: meanOf({ sum, weight }),
      // In the parameters' order.
      gradients: { values: new Map(params.map((p) => [p, values.get(p)!])), scale: shareOf({ weight }) },
      metrics: Object.fromEntries(
        metrics.map((name, i) => [name, meanOf({ sum: numbers[2 * i + 2]!, weight: numbers[2 * i + 3]! })]),
      ),
    },
    cleared: variables.map((v) => [v, broadcastTo(zero, v.shape)]),
  };
};
