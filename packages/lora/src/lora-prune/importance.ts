import type { TrainedStep } from '@peftjs/core';
import { abs, add, div, matmul, mul, reshape, slice, sqrt, sub, sum, type Tensor, type Variable } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import type { LowRank } from '../low-rank.ts';
import type { PruneGroup } from './prune-groups.ts';

/** A layer with its update. */
export interface Updated extends Pick<LowRank, 'a' | 'b' | 'scale'> {
  readonly base: Linear;
}

/** A group, and what is kept for it, [count] each. */
export interface Watched extends PruneGroup {
  /** 1 for structures that stay, 0 for those that are gone. */
  readonly mask: Variable;
  readonly importance: Variable;
}

/** |(∂B·A + B·∂A − ∂B·∂A) ∘ (W + s·BA)|, [out, in]: about what the loss changes by where an entry of the weight is gone. */
const saliency = ({ a, b, scale, base }: Updated, { gradient }: TrainedStep): Tensor => {
  const [ga, gb] = [gradient(a), gradient(b)];
  const byWeight = sub(add(matmul(gb, a), matmul(b, ga)), matmul(gb, ga));
  return abs(mul(byWeight, add(base.dense().weight, mul(matmul(b, a), scale))));
};

/** Sums of as many equal parts of a row of numbers, [count], divided by their length. */
const shares = (numbers: Tensor, count: number): Tensor => {
  const sums = sum(reshape(numbers, [count, -1]), { axes: [1] });
  return div(sums, add(sqrt(sum(mul(sums, sums))), 1e-8));
};

/** New averages of importance: 0.9 of the old, 0.1 of what the step's gradients say, summed over the layers of a group that are updated. */
export const gatherImportance = (
  groups: readonly Watched[],
  layers: ReadonlyMap<string, Updated>,
  step: TrainedStep,
): (readonly [Variable, Tensor])[] => {
  const known = new Map<string, Tensor>();
  const of = (path: string): Tensor | null => {
    const layer = layers.get(path);
    if (!layer) return null;
    const found = known.get(path) ?? saliency(layer, step);
    known.set(path, found);
    return found;
  };
  return groups.flatMap(({ importance, reader, makers, count }) => {
    const made = makers.flatMap(({ path, start, size }) => {
      const whole = of(path);
      return whole ? [slice(sum(whole, { axes: [1] }), { axis: 0, start, end: start + size })] : [];
    });
    const read = of(reader);
    const terms = [...made, ...(read ? [sum(read, { axes: [0] })] : [])].map((numbers) => shares(numbers, count));
    if (terms.length === 0) return [];
    const now = terms.reduce((total, term) => add(total, term));
    return [[importance, add(mul(importance, 0.9), mul(now, 0.1))] as const];
  });
};
