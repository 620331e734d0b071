/** Distinct n-grams, sorted, each as one number `((t₁·V) + t₂)·V + t₃`, and how often each occurs. */
interface Counts {
  readonly keys: Float64Array;
  readonly counts: Uint32Array;
}

interface Level extends Counts {
  /** What is taken off a count of 1, of 2, and of 3 or more. */
  readonly discounts: readonly [number, number, number];
}

/** An n-gram model made by {@link kneserNey}. */
export interface NgramModel {
  readonly vocabSize: number;
  /** Levels of order 2, 3, ..., n; the first order is {@link NgramModel.unigram}. */
  readonly levels: readonly Level[];
  /** Probability of each token without a history. [vocabSize] */
  readonly unigram: Float64Array;
}

/**
 * Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, section 3,
 * https://dash.harvard.edu/handle/1/25104739):
 *
 *     p(w | h) = (c(hw) − D(c(hw)) + γ(h) · p(w | h′)) / Σᵥ c(hv),   γ(h) = Σᵥ D(c(hv))
 *
 * where h′ is h without its first token, and D is one discount each for counts of 1, 2, and 3 or more, from the counts of
 * counts. Below the highest order, c counts the distinct tokens that an n-gram follows. The first order is interpolated
 * with the uniform distribution, so every token has a positive probability.
 *
 * @throws RangeError when an n-gram does not fit into the 53 bits of a number, or there are fewer tokens than `order`
 */
export function kneserNey(tokens: ArrayLike<number>, order: number, vocabSize: number): NgramModel {
  if (vocabSize ** order > Number.MAX_SAFE_INTEGER || tokens.length < order) {
    throw new RangeError(
      `kneserNey: got order ${order}, a vocabulary of ${vocabSize} and ${tokens.length} tokens; ` +
        'expected vocabulary ^ order below 2^53 and at least as many tokens as the order.',
    );
  }
  const counted = [distinct(ngramKeys(tokens, order, vocabSize))];
  for (let lower = order - 1; lower >= 1; lower--) {
    const longer = counted[0] as Counts;
    counted.unshift(distinct(longer.keys.map((key) => key % vocabSize ** lower)));
  }
  const [first, ...levels] = counted.map((counts) => ({
    ...counts,
    discounts: discountsOf(counts.counts),
  }));
  const uniform = 1 / vocabSize;
  const unigram = Float64Array.from({ length: vocabSize }, (_, token) =>
    interpolate(first as Level, 0, token, vocabSize, uniform),
  );
  return { vocabSize, levels, unigram };
}

/** p(token | history); of a history longer than the model's order - 1 only the end is used. */
export function probability(model: NgramModel, history: readonly number[], token: number): number {
  let p = model.unigram[token] ?? 0;
  for (const [index, level] of model.levels.entries()) {
    const length = index + 1;
    if (length > history.length) break;
    const context = history.slice(-length).reduce((key, id) => key * model.vocabSize + id, 0);
    p = interpolate(level, context, token, model.vocabSize, p);
  }
  return p;
}

/** Mean of −ln p over all tokens but the first, each given the tokens before it, in nats per token. */
export function meanLoss(model: NgramModel, tokens: ArrayLike<number>): number {
  const span = model.levels.length;
  let sum = 0;
  for (let i = 1; i < tokens.length; i++) {
    const history = Array.from({ length: Math.min(i, span) }, (_, k) => tokens[i - Math.min(i, span) + k] as number);
    sum -= Math.log(probability(model, history, tokens[i] as number));
  }
  return sum / (tokens.length - 1);
}

function interpolate(level: Level, context: number, token: number, vocabSize: number, lower: number): number {
  const { keys, counts, discounts } = level;
  const wanted = context * vocabSize + token;
  const end = (context + 1) * vocabSize;
  let total = 0;
  let left = 0;
  let own = 0;
  for (let i = lowerBound(keys, context * vocabSize); i < keys.length && (keys[i] as number) < end; i++) {
    const count = counts[i] as number;
    const discount = discounts[Math.min(count, 3) - 1] as number;
    total += count;
    left += discount;
    if (keys[i] === wanted) own = count - discount;
  }
  return total === 0 ? lower : (own + left * lower) / total;
}

function ngramKeys(tokens: ArrayLike<number>, order: number, vocabSize: number): Float64Array {
  const keys = new Float64Array(tokens.length - order + 1);
  for (let i = 0; i < keys.length; i++) {
    let key = 0;
    for (let k = 0; k < order; k++) key = key * vocabSize + (tokens[i + k] as number);
    keys[i] = key;
  }
  return keys;
}

/** Sorts in place, then counts runs. */
function distinct(keys: Float64Array): Counts {
  keys.sort();
  const counts = new Uint32Array(keys.length);
  let length = 0;
  for (const key of keys) {
    if (length === 0 || keys[length - 1] !== key) keys[length++] = key;
    counts[length - 1] = (counts[length - 1] as number) + 1;
  }
  return { keys: keys.slice(0, length), counts: counts.slice(0, length) };
}

function discountsOf(counts: Uint32Array): [number, number, number] {
  const [n1, n2, n3, n4] = [1, 2, 3, 4].map((wanted) =>
    counts.reduce((n, count) => n + (count === wanted ? 1 : 0), 0),
  ) as [number, number, number, number];
  // Too few n-grams to estimate from: KenLM's fallback (Heafield et al. 2013, https://aclanthology.org/P13-2121).
  if (n1 * n2 * n3 * n4 === 0) return [0.5, 1, 1.5];
  const y = n1 / (n1 + 2 * n2);
  const discount = (k: number, ratio: number): number => Math.min(k, Math.max(0, k - (k + 1) * y * ratio));
  return [discount(1, n2 / n1), discount(2, n3 / n2), discount(3, n4 / n3)];
}

function lowerBound(keys: Float64Array, wanted: number): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as number) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
