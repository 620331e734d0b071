import type { Random } from '@peftjs/tensor';

/** How tensors of several adapters become one, once each is multiplied by its weight. */
export type Rule = 'linear' | 'ties' | 'dare_linear' | 'dare_ties' | 'magnitude_prune';

/** How to choose among values of unlike signs: by the sum of the values, or by the number of each sign. */
export type MajoritySign = 'total' | 'frequency';

/** The numbers that a rule needs. */
export interface RuleOptions {
  /** The share of each tensor's values that is kept; 1 keeps all. */
  readonly density: number;
  readonly majoritySign: MajoritySign;
  readonly random: Random;
}

/** The largest magnitudes; of equal ones the first. */
const largest = (values: Float64Array, density: number): Float64Array => {
  const count = Math.trunc(density * values.length);
  const sorted = values.map(Math.abs).sort();
  const least = count > 0 ? sorted[values.length - count]! : Number.POSITIVE_INFINITY;
  let equals = count - (values.length - sorted.findLastIndex((v) => v <= least) - 1);
  return values.map((v) => (Math.abs(v) > least || (Math.abs(v) === least && equals-- > 0) ? v : 0));
};

/** Each with probability `density`, divided by it. */
const chosen = (values: Float64Array, density: number, random: Random): Float64Array =>
  values.map((v) => (random() < density ? v / density : 0));

const sumOf = (tensors: readonly Float64Array[], weights: readonly number[]): Float64Array =>
  tensors[0]!.map((_, i) => tensors.reduce((sum, t, k) => sum + weights[k]! * t[i]!, 0));

/** The mean of the weighted values whose sign is the majority's. */
const elected = (
  tensors: readonly Float64Array[],
  weights: readonly number[],
  majoritySign: MajoritySign,
): Float64Array => {
  const vote = majoritySign === 'total' ? (v: number) => v : Math.sign;
  return tensors[0]!.map((_, i) => {
    const majority = tensors.reduce((sum, t) => sum + vote(t[i]!), 0) >= 0 ? 1 : -1;
    let [sum, count] = [0, 0];
    for (const [k, t] of tensors.entries())
      if (Math.sign(t[i]!) === majority) {
        sum += weights[k]! * t[i]!;
        count++;
      }
    return sum / Math.max(count, 1);
  });
};

/**
 * One tensor of several: their weighted sum, of all their values or of those that pruning keeps (by magnitude; at random, the rest divided
 * by `density`), or TIES' mean of those with the majority's sign.
 * Ilharco et al., 2023. https://arxiv.org/abs/2212.04089. Yadav et al., 2023 (TIES). https://arxiv.org/abs/2306.01708. Yu et al., 2024
 * (DARE). https://arxiv.org/abs/2311.03099
 */
export const combineTensors = (
  rule: Rule,
  tensors: readonly Float64Array[],
  weights: readonly number[],
  { density, majoritySign, random }: RuleOptions,
): Float64Array => {
  const isWhole = rule === 'linear' || density >= 1;
  const pruned = tensors.map((t) =>
    isWhole ? t : rule.startsWith('dare') ? chosen(t, density, random) : largest(t, density),
  );
  return rule.endsWith('ties') ? elected(pruned, weights, majoritySign) : sumOf(pruned, weights);
};
