import { type PromptSnapshot, trainedRows } from '@peftjs/prompts';
import { PeftError } from '@peftjs/tensor';

/** How prompts are compared: `mean`, the means of their rows; `tokens`, every row of one with every row of the other. */
export type PromptComparison = 'mean' | 'tokens';

/** A source and how near it is, in [−1, 1]. */
export interface RankedPrompt {
  readonly name: string;
  readonly similarity: number;
}

type Rows = readonly Float32Array[];

const rowsOf = (prompt: PromptSnapshot): Rows => {
  const values = trainedRows('promptSimilarity', prompt);
  const [m, d] = prompt.state.get('prompt_embeddings')!.shape as readonly [number, number];
  return Array.from({ length: m }, (_, i) => values.subarray(i * d, (i + 1) * d));
};

const meanOf = (rows: Rows): Float32Array =>
  rows[0]!.map((_, j) => rows.reduce((n, row) => n + row[j]!, 0) / rows.length);

/** a·b / (‖a‖·‖b‖); 0 where one of them is zero. */
const cosine = (a: Float32Array, b: Float32Array): number => {
  const norms = Math.hypot(...a) * Math.hypot(...b);
  return norms === 0 ? 0 : a.reduce((n, x, i) => n + x * b[i]!, 0) / norms;
};

/**
 * SPoT's similarity of two tasks, that of prompts trained on them from the same first values: the cosine of the means of their rows, or with `tokens` the mean of the cosines of all pairs of rows. Prompts are snapshots of
 * `promptTuning`: `await snapshot(adapted, { executor })`. Throws `bad-option` for prompts of unlike widths.
 * Vu, Lester, Constant, Al-Rfou & Cer, 2022. https://arxiv.org/abs/2110.07904. Its text was not at hand; the similarities are as others tell them.
 */
export const promptSimilarity = (a: PromptSnapshot, b: PromptSnapshot, by: PromptComparison = 'mean'): number => {
  const [mine, theirs] = [rowsOf(a), rowsOf(b)];
  if (mine[0]!.length !== theirs[0]!.length)
    throw new PeftError(
      'bad-option',
      `promptSimilarity: the prompts have rows of ${mine[0]!.length} and ${theirs[0]!.length} values; compare prompts of one model`,
    );
  if (by === 'mean') return cosine(meanOf(mine), meanOf(theirs));
  const all = mine.flatMap((row) => theirs.map((other) => cosine(row, other)));
  return all.reduce((n, x) => n + x, 0) / all.length;
};

/**
 * SPoT's choice of a source: prompts of other tasks by their similarity to one that was trained a little on the target, the nearest first. The target then begins there, `promptTuning({ init: { prompt: nearest } })`.
 * Throws as `promptSimilarity`. Vu et al., 2022. https://arxiv.org/abs/2110.07904
 */
export const rankPrompts = (
  target: PromptSnapshot,
  sources: Readonly<Record<string, PromptSnapshot>>,
  by: PromptComparison = 'mean',
): readonly RankedPrompt[] =>
  Object.entries(sources)
    .map(([name, source]) => ({ name, similarity: promptSimilarity(target, source, by) }))
    .sort((a, b) => b.similarity - a.similarity);
