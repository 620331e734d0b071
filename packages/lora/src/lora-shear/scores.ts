import type { Between } from '@peftjs/core';
import { add, matmul, mul, reshape, slice, sum, type Tensor, type Variable } from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import type { PruneGroup } from '../lora-prune/prune-groups.ts';
import type { LowRank } from '../low-rank.ts';

/** A group with what stands for it: [count] each. */
export interface Sheared extends PruneGroup {
  /** Factors of the rows of W and of biases: 1 for structures that stay, 0 for those that are gone. */
  readonly mask: Variable;
  /** Factors of the rows of B at the next step. */
  readonly keep: Variable;
}

/** A layer of the base, its rows masked as they are now, and its update. */
export interface ShearedLayer {
  readonly masked: Linear;
  readonly update: Pick<LowRank, 'a' | 'b'> | null;
}

/** Sums over what belongs to each structure: of squares of W and biases, of W alone where it is updated, of BA, and of W ∘ BA; [count] each. */
interface Sums {
  readonly all: Tensor;
  readonly weight: Tensor;
  readonly update: Tensor;
  readonly inner: Tensor;
}

/** The sums of one group, and the number of tensors that make it. */
const sumsOf = (
  { makers, count }: PruneGroup,
  layers: ReadonlyMap<Path, ShearedLayer>,
): { readonly sums: Partial<Sums>; readonly tensors: number } => {
  const sums: { -readonly [K in keyof Sums]?: Tensor } = {};
  const put = (name: keyof Sums, values: Tensor): void => {
    const own = sum(reshape(values, [count, -1]), { axes: [1] });
    sums[name] = sums[name] ? add(sums[name], own) : own;
  };
  let tensors = 0;
  for (const { path, start, size } of makers) {
    const part = (t: Tensor): Tensor => slice(t, { axis: 0, start, end: start + size });
    const { masked, update } = layers.get(path)!;
    const { weight, bias } = masked.dense();
    const own = part(weight);
    put('all', mul(own, own));
    tensors += 1;
    if (bias) {
      put('all', mul(part(bias), part(bias)));
      tensors += 1;
    }
    if (!update) continue;
    const delta = matmul(part(update.b), update.a);
    put('weight', mul(own, own));
    put('update', mul(delta, delta));
    put('inner', mul(own, delta));
  }
  return { sums, tensors };
};

/** The criteria: sizes of weights, in all and by tensor, how far the update goes the weights' way, and what the loss changes by, to first and second order. */
const criteriaOf = (
  count: number,
  tensors: number,
  { all, weight, update, inner }: Readonly<Record<keyof Sums, ArrayLike<number>>>,
): readonly Float64Array[] => {
  const by = (of: (i: number) => number): Float64Array => Float64Array.from({ length: count }, (_, i) => of(i));
  return [
    by((i) => Math.sqrt(all[i]!)),
    by((i) => Math.sqrt(all[i]!) / (tensors * count + 1e-6)),
    by((i) => inner[i]! / (Math.sqrt(weight[i]!) + 1e-8) / (Math.sqrt(update[i]!) + 1e-8) + 1),
    by((i) => Math.abs(inner[i]!)),
    by((i) => 0.5 * inner[i]! ** 2),
  ];
};

/** The importance of every structure, by group: the mean of five criteria, each divided by its length over all groups. One group at a time is looked at. */
export const importanceOf = async (
  groups: readonly Sheared[],
  layers: ReadonlyMap<Path, ShearedLayer>,
  { compute }: Pick<Between, 'compute'>,
): Promise<readonly Float64Array[]> => {
  const found: (readonly Float64Array[])[] = [];
  for (const group of groups) {
    const { sums, tensors } = sumsOf(group, layers);
    const values = await compute(sums as Readonly<Record<string, Tensor>>);
    found.push(criteriaOf(group.count, tensors, values as Record<keyof Sums, Float32Array>));
  }
  const lengths = found[0]!.map(
    (_, c) => Math.sqrt(found.reduce((n, all) => all[c]!.reduce((m, v) => m + v * v, n), 1e-8)) + 1e-8,
  );
  return found.map((all, g) =>
    Float64Array.from({ length: groups[g]!.count }, (_, i) =>
      all.reduce((total, values, c) => total + (0.2 * values[i]!) / lengths[c]!, 0),
    ),
  );
};
