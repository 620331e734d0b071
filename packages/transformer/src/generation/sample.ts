import { mustBe, PeftError, type Random, type Rules } from '@peftjs/tensor';

/** How the next token is drawn. */
export interface SampleOptions {
  /** Logits are divided by it; 0 takes the likeliest token. Default 0. */
  readonly temperature?: number;
  /** Only the so many likeliest tokens; 0 is all. Default 0. Fan et al., 2018. https://arxiv.org/abs/1805.04833 */
  readonly topK?: number;
  /** Only the likeliest tokens that together reach this probability. Default 1. Holtzman et al., 2019. https://arxiv.org/abs/1904.09751 */
  readonly topP?: number;
  /** Only tokens at least so likely as this share of the likeliest. Default 0. Nguyen et al., 2024. https://arxiv.org/abs/2407.01082 */
  readonly minP?: number;
  /** Only the tokens whose surprise is nearest to the expected one, that together reach this probability. Default 1. Meister et al., 2022. https://arxiv.org/abs/2202.00666 */
  readonly typicalP?: number;
}

const upTo1 = mustBe.such('in (0, 1]', (v) => typeof v === 'number' && v > 0 && v <= 1);

/** The rules of its options. */
export const sampleRules: Rules<SampleOptions> = {
  temperature: mustBe.notNegative,
  topK: mustBe.whole,
  topP: upTo1,
  minP: mustBe.share,
  typicalP: upTo1,
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

const sumOf = (weights: Float64Array): number => weights.reduce((a, b) => a + b, 0);

/** Zeroes all weights but those whose −log p is nearest to its mean and that together reach a share of all. */
const keepTypical = (weights: Float64Array, mass: number): void => {
  const total = sumOf(weights);
  const surprise = weights.map((w) => -Math.log(w / total));
  const mean = weights.reduce((sum, w, i) => (w === 0 ? sum : sum + (w / total) * surprise[i]!), 0);
  const order = Array.from(weights.keys())
    .filter((i) => weights[i] !== 0)
    .sort((a, b) => Math.abs(surprise[a]! - mean) - Math.abs(surprise[b]! - mean));
  let reached = 0;
  for (const i of order) {
    const own = weights[i]!;
    if (reached >= mass * total) weights[i] = 0;
    reached += own;
  }
};

/**
 * The weights by which a token is drawn: softmax(logits / temperature) up to a factor, with zeros for what topK, then topP, minP and typicalP of
 * what is left leave out. As of transformers, `generation/logits_process.py`.
 */
export const drawWeights = (
  logits: ArrayLike<number>,
  { temperature = 1, topK = 0, topP = 1, minP = 0, typicalP = 1 }: SampleOptions,
): Float64Array => {
  const highest = logits[likeliest(logits)]!;
  const weights = Float64Array.from(logits, (l) => Math.exp((l - highest) / temperature));
  if (topK > 0 && topK < weights.length) keepLargest(weights, weights.slice().sort(), topK);
  if (topP < 1) {
    const sorted = weights.slice().sort();
    keepLargest(weights, sorted, nucleus(sorted, sumOf(weights), topP));
  }
  // The largest weight is 1.
  if (minP > 0) for (const [i, w] of weights.entries()) if (w < minP) weights[i] = 0;
  if (typicalP < 1) keepTypical(weights, typicalP);
  return weights;
};

/** Draws a token of logits of which some may be −Infinity. Throws `bad-option` where all are. */
export const drawToken = (logits: ArrayLike<number>, options: SampleOptions, random: Random): number => {
  const best = likeliest(logits);
  if (logits[best] === Number.NEGATIVE_INFINITY)
    throw new PeftError(
      'bad-option',
      'generate: no token is left to choose; allow more (badWords, processors, noRepeatNgram)',
    );
  if (!options.temperature) return best;
  const weights = drawWeights(logits, options);
  const target = random() * sumOf(weights);
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

/** Throws `diverged` when logits are not numbers. */
export const checkLogits = (logits: ArrayLike<number>): void => {
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += logits[i]!;
  checkFinite(total);
};

/**
 * Draws a token: softmax(logits / temperature), cut to the topK likeliest, then to the smallest set of the likeliest that reaches topP of
 * what is left, then by minP and typicalP. Temperature 0 is the likeliest token, the first among equals. Throws `diverged` when the logits are
 * not numbers.
 */
export const sampleToken = (logits: ArrayLike<number>, options: SampleOptions, random: Random): number => {
  checkLogits(logits);
  return drawToken(logits, options, random);
};
