import { normalValues, randomSource } from '@peftjs/tensor';

const softmaxOf = (logits: readonly number[]): number[] => {
  const top = Math.max(...logits);
  const exps = logits.map((z) => Math.exp(z - top));
  const total = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / total);
};

/** Probabilities of logits N(mean, covariance) by the probit's approximation: softmax(mean / √(1 + π/8·variance)). MacKay, 1992. https://doi.org/10.1162/neco.1992.4.5.720 */
export const probit = (mean: readonly number[], covariance: readonly (readonly number[])[]): number[] =>
  softmaxOf(mean.map((m, k) => m / Math.sqrt(1 + (Math.PI / 8) * Math.max(0, covariance[k]![k]!))));

/** A matrix R with R·Rᵀ = covariance. */
export type Root = (covariance: readonly (readonly number[])[]) => readonly (readonly number[])[];

/** The same as the mean of softmax over samples of the logits. */
export const sampled = (
  mean: readonly number[],
  covariance: readonly (readonly number[])[],
  {
    samples,
    seed,
    row,
    root,
  }: { readonly samples: number; readonly seed: number; readonly row: number; readonly root: Root },
): number[] => {
  const k = mean.length;
  const factor = root(covariance);
  const noise = normalValues(samples * k, 1, randomSource(seed, `laplace ${row}`));
  const sums = new Array<number>(k).fill(0);
  for (let s = 0; s < samples; s++) {
    const logits = mean.map((m, i) => factor[i]!.reduce((sum, f, j) => sum + f * noise[s * k + j]!, m));
    for (const [i, p] of softmaxOf(logits).entries()) sums[i]! += p;
  }
  return sums.map((p) => p / samples);
};
