import { checkPairs } from './measure.ts';
import { overlap } from './n-grams.ts';

/** Of Python's `string.punctuation`. */
const punctuation = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/g;
/** Articles that stand alone, among letters of any language. */
const articles = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

const wordsOf = (text: string): string[] =>
  text.toLowerCase().replace(punctuation, '').replace(articles, ' ').split(/\s+/).filter(Boolean);

const f1Of = (given: readonly string[], right: readonly string[]): number => {
  const same = overlap(given, right, 1);
  return same === 0 ? 0 : (2 * same) / (given.length + right.length);
};

/** Scores of answers, from 0 to 1. */
export interface AnswerScores {
  readonly exactMatch: number;
  readonly f1: number;
}

/**
 * Answers as texts, each with the texts that are right, of which the best counts: the share that is the same without case, punctuation and articles, and the mean F1 of
 * words. SQuAD's evaluation of version 1.1, which gives percents. Rajpurkar et al., 2016. https://arxiv.org/abs/1606.05250. Throws `bad-data`.
 */
export const answerScores = (
  predicted: readonly string[],
  wanted: readonly (string | readonly string[])[],
): AnswerScores => {
  checkPairs('answerScores', predicted, wanted);
  let [exact, words] = [0, 0];
  for (const [i, text] of predicted.entries()) {
    const given = wordsOf(text);
    const right = [wanted[i]!].flat().map(wordsOf);
    checkPairs(`answerScores: row ${i}`, right, right);
    if (right.some((answer) => answer.join(' ') === given.join(' '))) exact++;
    words += Math.max(...right.map((answer) => f1Of(given, answer)));
  }
  return { exactMatch: exact / predicted.length, f1: words / predicted.length };
};
