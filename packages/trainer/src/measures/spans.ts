import { checkPairs, type Spans } from './measure.ts';
import type { AnswerScores } from './squad.ts';

/** Answers as places: the share whose both ends are right, and the mean F1 of their tokens. Throws `bad-data`. */
export const spanScores = (predicted: Spans['predicted'], wanted: Spans['wanted']): AnswerScores => {
  checkPairs('spanScores', predicted, wanted);
  let [exact, tokens] = [0, 0];
  for (const [i, [start, end]] of predicted.entries()) {
    const [from, to] = wanted[i]!;
    if (start === from && end === to) exact++;
    const same = Math.max(0, Math.min(end, to) - Math.max(start, from) + 1);
    tokens += (2 * same) / (end - start + 1 + to - from + 1);
  }
  return { exactMatch: exact / predicted.length, f1: tokens / predicted.length };
};
