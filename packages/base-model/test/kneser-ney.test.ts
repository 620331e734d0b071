import { describe, expect, it } from 'vitest';
import { kneserNey, meanLoss, probability } from '../tools/kneser-ney.ts';

/** Tokens with structure and noise: often the sum of the two before it, with small numbers more frequent than large. */
function sample(length: number, vocabSize: number, seed: number): number[] {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const tokens = [0, 1];
  while (tokens.length < length) {
    const [before = 0, last = 0] = tokens.slice(-2);
    tokens.push(uniform() < 0.5 ? (before + last) % vocabSize : Math.floor(uniform() ** 6 * vocabSize));
  }
  return tokens;
}

/** Chen and Goodman's formulas word for word, over n-grams as strings. */
function byDefinition(tokens: number[], order: number, vocabSize: number, history: number[], token: number): number {
  const levelOf = (n: number): Map<string, number> => {
    const grams = tokens.slice(n - 1).map((_, i) => tokens.slice(i, i + n).join(' '));
    if (n === order) return tally(grams);
    const longer = new Set(tokens.slice(n).map((_, i) => tokens.slice(i, i + n + 1).join(' ')));
    return tally([...longer].map((gram) => gram.slice(gram.indexOf(' ') + 1)));
  };
  const tally = (grams: string[]): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const gram of grams) counts.set(gram, (counts.get(gram) ?? 0) + 1);
    return counts;
  };
  const p = (n: number): number => {
    if (n === 0) return 1 / vocabSize;
    const counts = levelOf(n);
    const n_ = (k: number): number => [...counts.values()].filter((count) => count === k).length;
    const y = n_(1) / (n_(1) + 2 * n_(2));
    const d = (count: number): number => {
      const k = Math.min(count, 3);
      return count === 0 ? 0 : k - (k + 1) * y * (n_(k + 1) / n_(k));
    };
    const gram = (last: number): string => [...history.slice(history.length - n + 1), last].join(' ');
    const row = Array.from({ length: vocabSize }, (_, last) => counts.get(gram(last)) ?? 0);
    const total = row.reduce((sum, count) => sum + count, 0);
    if (total === 0) return p(n - 1);
    const gamma = row.reduce((sum, count) => sum + d(count), 0) / total;
    const own = row[token] as number;
    return (own - d(own)) / total + gamma * p(n - 1);
  };
  return p(order);
}

describe('kneserNey', () => {
  it('gives the probabilities computed by hand', () => {
    // 0 1 twice, 1 0 twice, 0 2 once: no counts of 3, so the discounts are 0.5, 1, 1.5. Each token follows one other.
    const model = kneserNey([0, 1, 0, 1, 0, 2], 2, 3);
    expect([...model.unigram]).toEqual([1 / 3, 1 / 3, 1 / 3].map((p) => expect.closeTo(p, 12)));
    // After 0: (2 - 1)/3 and (1 - 0.5)/3, and 1.5/3 spread over the three tokens.
    expect([0, 1, 2].map((token) => probability(model, [0], token))).toEqual(
      [1 / 6, 1 / 2, 1 / 3].map((p) => expect.closeTo(p, 12)),
    );
    // Nothing follows 2.
    expect(probability(model, [2], 1)).toBeCloseTo(1 / 3, 12);
  });

  it('agrees with the formulas of the paper', () => {
    const vocabSize = 200;
    const tokens = sample(2000, vocabSize, 7);
    const model = kneserNey(tokens, 3, vocabSize);
    for (const history of [[0, 1], [1, 0], tokens.slice(50, 52), [0, 197], [198, 199]]) {
      for (const token of [0, 1, 40, 199]) {
        expect(probability(model, history, token)).toBeCloseTo(byDefinition(tokens, 3, vocabSize, history, token), 12);
      }
    }
  });

  it('sums to 1 after seen, half-seen and unseen histories, and leaves no token impossible', () => {
    const vocabSize = 50;
    const tokens = sample(3000, 40, 1);
    const model = kneserNey(tokens, 3, vocabSize);
    for (const history of [[], [3], [45], tokens.slice(10, 12), [45, 3], [3, 45], [44, 45], tokens.slice(0, 9)]) {
      const row = Array.from({ length: vocabSize }, (_, token) => probability(model, history, token));
      expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
      expect(Math.min(...row)).toBeGreaterThan(0);
    }
  });

  it('predicts better with a longer history where there is one to learn from', () => {
    const tokens = sample(20_000, 30, 3);
    const unseen = sample(2000, 30, 4);
    const losses = [1, 2, 3].map((order) => meanLoss(kneserNey(tokens, order, 30), unseen));
    expect(losses[0]).toBeLessThan(Math.log(30) + 0.01);
    expect(losses[2]).toBeLessThan((losses[1] as number) - 0.3);
  });

  it('refuses n-grams that a number cannot hold, and too few tokens', () => {
    expect(() => kneserNey([1, 2, 3, 4, 5, 6], 5, 4096)).toThrow(/below 2\^53/);
    expect(() => kneserNey([1, 2], 3, 10)).toThrow(/2 tokens/);
  });
});
