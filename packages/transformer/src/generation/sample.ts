import { mustBe, PeftError, type Random, type Rules } from '@peftjs/tensor';

/** How the next token is drawn. */
export interface SampleOptions {
  /** Logits are divided by it; 0 takes the likeliest token. Default 0. */
  readonly temperature?: number;
  /** Only the so many likeliest tokens; 0 is all. Default 0. Fan et al., 2018. https://arxiv.org/abs/1805.04833 */
  readonly topK?: number;
  /** Only the likeliest tokens that together reach this probability. Default 1. Holtzman et al., 2019. https://arxiv.org/abs/1904.09751 */
  readonly topP?: number;
}

/** The rules of its options. */
export const sampleRules: Rules<SampleOptions> = {
  temperature: mustBe.notNegative,
  topK: mustBe.whole,
  topP: mustBe.such('in (0, 1]', (v) => typeof v === 'number' && v > 0 && v <= 1),
};

/** Throws `diverged` when a sum of logits is no finite number, so that one of them is none. */
export const checkFinite = (total: number): void => {
  if (!Number.isFinite(total))
    throw new PeftError(
      'diverged',
      'generate: the logits are not finite numbers; check the weights, and the learning rate that they were trained with',
    );
};

/** Zeroes all weights but the `count` largest; of equal ones the first stay. */
const keepLargest = (weights: Float64Array, sorted: Float64Array, count: number): void => {
  const least = sorted[sorted.length - count]!;
  let ties = count - (sorted.length - 1 - sorted.lastIndexOf(least));
  for (const [i, w] of weights.entries()) if (w < least || (w === least && ties-- <= 0)) weights[i] = 0;
};

/** How many of the largest weights reach a share `p` of their sum. */
const nucleus = (sorted: Float64Array, total: number, p: number): number => {
  let reached = 0;
  for (let n = 1; n <= sorted.length; n++) {
    reached += sorted[sorted.length - n]!;
    if (reached >= p * total) return n;
  }
  return sorted.length;
};

const likeliest = (logits: ArrayLike<number>): number => {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
};

/**
 * Draws a token: softmax(logits / temperature), cut to the topK likeliest, then to the smallest set of the likeliest that reaches topP of
 * what is left. Temperature 0 is the likeliest token, the first among equals. Throws `diverged` when the logits are not numbers.
 */
export const sampleToken = (
  logits: ArrayLike<number>,
  { temperature = 0, topK = 0, topP = 1 }: SampleOptions,
  random: Random,
): number => {
  const best = likeliest(logits);
  const highest = logits[best]!;
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += logits[i]!;
  checkFinite(total);
  if (temperature === 0) return best;
  const weights = Float64Array.from(logits, (l) => Math.exp((l - highest) / temperature));
  if (topK > 0 && topK < weights.length) keepLargest(weights, weights.slice().sort(), topK);
  const sum = (): number => weights.reduce((a, b) => a + b, 0);
  if (topP < 1) {
    const sorted = weights.slice().sort();
    keepLargest(weights, sorted, nucleus(sorted, sum(), topP));
  }
  const target = random() * sum();
  let passed = 0;
  let last = best;
  for (const [i, w] of weights.entries()) {
    if (w === 0) continue;
    passed += w;
    last = i;
    if (target < passed) return i;
  }
  return last;
};
