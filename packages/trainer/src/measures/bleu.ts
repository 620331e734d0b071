import { checkPairs } from './measure.ts';
import { nGrams } from './n-grams.ts';

const order = 4;

const entities: Readonly<Record<string, string>> = { '&quot;': '"', '&amp;': '&', '&lt;': '<', '&gt;': '>' };

/** mteval-v13a's words: punctuation stands alone, but for a dot, a comma or a dash between digits. */
const wordsOf = (text: string): string[] => {
  let line = text.trimEnd().replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ');
  // One after the other: `&amp;lt;` is `<`.
  for (const [name, character] of Object.entries(entities)) line = line.replaceAll(name, character);
  return ` ${line} `
    .replace(/([{-~[-` -&(-+:-@/])/g, ' $1 ')
    .replace(/([^0-9])([.,])/gu, '$1 $2 ')
    .replace(/([.,])([^0-9])/gu, ' $1 $2')
    .replace(/([0-9])(-)/g, '$1 $2 ')
    .split(/\s+/)
    .filter(Boolean);
};

/** The length nearest to `length`; of two that are as near the shorter. */
const nearest = (length: number, lengths: readonly number[]): number =>
  lengths.reduce((best, l) => {
    const [a, b] = [Math.abs(l - length), Math.abs(best - length)];
    return a < b || (a === b && l < best) ? l : best;
  });

/** Sequences of n words of a text that the right ones have too, each at most as often as the one that has most of it. */
const clipped = (given: readonly string[], right: readonly (readonly string[])[], n: number): number => {
  const others = right.map((words) => nGrams(words, n));
  return [...nGrams(given, n)].reduce(
    (total, [key, count]) => total + Math.min(count, Math.max(...others.map((o) => o.get(key) ?? 0))),
    0,
  );
};

/**
 * BLEU of a corpus, from 0 to 100, each text with one right text or several: the geometric mean of the precisions of one to four words in a row, times e^(1 − r/c)
 * where all texts together, of c words, are shorter than the right ones, of r. sacrebleu's defaults: words of mteval-v13a; a precision of 0 counts as
 * 1 / (2ᵏ · how many there are), for the k-th such. Papineni et al., 2002, https://aclanthology.org/P02-1040; Post, 2018,
 * https://aclanthology.org/W18-6319. Throws `bad-data`.
 */
export const bleu = (predicted: readonly string[], wanted: readonly (string | readonly string[])[]): number => {
  checkPairs('bleu', predicted, wanted);
  const same = new Array<number>(order).fill(0);
  const all = new Array<number>(order).fill(0);
  let [length, rightLength] = [0, 0];
  for (const [i, text] of predicted.entries()) {
    const given = wordsOf(text);
    const right = [wanted[i]!].flat().map(wordsOf);
    checkPairs(`bleu: row ${i}`, right, right);
    length += given.length;
    rightLength += nearest(
      given.length,
      right.map((words) => words.length),
    );
    for (let n = 1; n <= order; n++) {
      same[n - 1]! += clipped(given, right, n);
      all[n - 1]! += Math.max(0, given.length - n + 1);
    }
  }
  // Nothing of some length at all: its precision is 0, and so is the mean.
  if (same.every((count) => count === 0) || all.includes(0)) return 0;
  let halves = 1;
  const logs = same.map((count, i) => {
    if (count === 0) halves *= 2;
    return Math.log(count === 0 ? 1 / (halves * all[i]!) : count / all[i]!);
  });
  const brevity = length < rightLength ? Math.exp(1 - rightLength / length) : 1;
  return 100 * brevity * Math.exp(logs.reduce((a, b) => a + b, 0) / order);
};
