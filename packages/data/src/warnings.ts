import type { Description } from './describe-rows.ts';

const percent = (part: number, whole: number): string => {
  const share = (100 * part) / whole;
  return share > 0 && share < 0.1 ? 'less than 0.1 %' : `${share.toFixed(share < 10 ? 1 : 0)} %`;
};

/** Sentences about what may go wrong with such rows. */
export const warningsOf = (
  {
    rows,
    tokens,
    lengths,
    learnt,
    unlearnt,
    tooLong,
    promptTooLong,
    ends,
    unknown,
    copies,
  }: Omit<Description, 'warnings'>,
  context: number,
): readonly string[] => {
  const said: (string | false)[] = [
    ends === 0 &&
      learnt > 0 &&
      'The end is never learnt: no special token is among the labels, so the model may not stop. End texts with the token that ends texts, or use a chat template.',
    unlearnt > 0 && `Nothing is learnt of ${unlearnt} rows (${percent(unlearnt, rows)}): all of their labels are −100.`,
    promptTooLong > 0 &&
      `In ${promptTooLong} rows (${percent(promptTooLong, rows)}) what comes before the first token that is learnt is longer than the context of ${context} alone. Allow more, or cut the beginning.`,
    tooLong > 0 &&
      `${tooLong} rows (${percent(tooLong, rows)}) are longer than the context of ${context}; the longest has ${lengths.most} tokens.`,
    unknown !== null &&
      unknown > 0 &&
      `${unknown} tokens (${percent(unknown, tokens)}) are unknown to the vocabulary: it may be of another language.`,
    copies !== null &&
      copies > 0 &&
      `${copies} rows (${percent(copies, rows)}) are copies of others; \`unique\` leaves them out.`,
    learnt > 0 &&
      learnt < 0.01 * tokens &&
      `Only ${percent(learnt, tokens)} of the tokens are learnt; each step teaches little.`,
  ];
  return said.filter((sentence) => sentence !== false);
};
