import { checkPairs } from './measure.ts';
import { overlap } from './n-grams.ts';

/** Mean F-measures, from 0 to 1: of words, of pairs of words, and of the longest common subsequence. */
export interface RougeScores {
  readonly rouge1: number;
  readonly rouge2: number;
  readonly rougeL: number;
}

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[a-z0-9]+/g) ?? [];

const fMeasure = (same: number, given: number, right: number): number =>
  same === 0 ? 0 : (2 * same) / (given + right);

/** Length of the longest common subsequence, with one row of the table in memory. */
const common = (a: readonly string[], b: readonly string[]): number => {
  const row = new Uint32Array(b.length + 1);
  for (const word of a) {
    let corner = 0;
    for (const [j, other] of b.entries()) {
      const above = row[j + 1]!;
      row[j + 1] = word === other ? corner + 1 : Math.max(above, row[j]!);
      corner = above;
    }
  }
  return row[b.length]!;
};

const scoresOf = (given: readonly string[], right: readonly string[]): RougeScores => {
  const ofN = (n: number): number =>
    fMeasure(overlap(given, right, n), Math.max(0, given.length - n + 1), Math.max(0, right.length - n + 1));
  return { rouge1: ofN(1), rouge2: ofN(2), rougeL: fMeasure(common(given, right), given.length, right.length) };
};

/**
 * ROUGE of texts, each with one right text or several, of which the best counts: F-measures of shared words and pairs, and of the longest common
 * subsequence, as a mean. Words are runs of a–z and 0–9 without case, as in `rouge_score` without its stemmer; other scripts have none. Lin, 2004.
 * https://aclanthology.org/W04-1013. Throws `bad-data`.
 */
export const rouge = (predicted: readonly string[], wanted: readonly (string | readonly string[])[]): RougeScores => {
  checkPairs('rouge', predicted, wanted);
  const total = { rouge1: 0, rouge2: 0, rougeL: 0 };
  for (const [i, text] of predicted.entries()) {
    const given = wordsOf(text);
    const scores = [wanted[i]!].flat().map((right) => scoresOf(given, wordsOf(right)));
    checkPairs(`rouge: row ${i}`, scores, scores);
    for (const name of ['rouge1', 'rouge2', 'rougeL'] as const) total[name] += Math.max(...scores.map((s) => s[name]));
  }
  const n = predicted.length;
  return { rouge1: total.rouge1 / n, rouge2: total.rouge2 / n, rougeL: total.rougeL / n };
};
