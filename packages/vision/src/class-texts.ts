import { type Init, normal } from '@peftjs/core';
import { broadcastTo, concatAll, constant, gather, PeftError, slice, type Tensor } from '@peftjs/tensor';
import { type Model, type Path, type Tower, tokenTableOf } from '@peftjs/transformer';
import { textsBesidePictures } from './pair-towers.ts';

/** Where a context goes in the texts of classes: in place of m words. */
export interface Place {
  /** Rows of the context. */
  readonly length: number;
  /** How many classes have one of their own; 0 for one of all. */
  readonly classes: number;
  /** Tokens whose embeddings it begins as; none: it is drawn. */
  readonly words: readonly number[];
  /** Tokens before it. */
  readonly start: number;
}

/** Whether a text has in that place the words, or one token again and again, and before and after it others. */
const hasPlace = (text: readonly number[], placeholder: number, { length, words, start }: Place): boolean => {
  const [there, end] = [text.slice(start, start + length), start + length];
  if (end >= text.length) return false;
  if (words.length > 0) return there.every((id, i) => id === words[i]);
  return there.every((id) => id === placeholder) && text[end] !== placeholder && text[start - 1] !== placeholder;
};

/** Refuses texts in which a context would stand for something else than placeholders. Throws `bad-option`, `bad-data`. */
export const checkTexts = (who: string, { node, shape }: Tensor, place: Place): void => {
  const [texts, tokens] = shape as readonly [number, number];
  const { length, classes, words, start } = place;
  if (node.kind !== 'constant')
    throw new PeftError(
      'bad-option',
      `${who}: a context takes the place of words in the texts of classes, and the texts of this pass are known only later; load the model for zeroShot`,
    );
  if (classes > 0 && classes !== texts)
    throw new PeftError(
      'bad-option',
      `${who}: there are contexts for ${classes} classes, and texts of ${texts}; give classes: ${texts}, or leave it out for one context`,
    );
  const rows = Array.from({ length: texts }, (_, i) =>
    Array.from(node.data.subarray(i * tokens, (i + 1) * tokens) as Int32Array),
  );
  const odd = rows.findIndex((row) => !hasPlace(row, rows[0]![start]!, place));
  if (odd < 0) return;
  const wanted =
    words.length > 0
      ? `the words ${words.join(', ')}`
      : `one placeholder ${length} times, neither more nor fewer and in all texts the same,`;
  throw new PeftError(
    'bad-data',
    `${who}: the text of each class must have ${wanted} after its first ${start} tokens, and then its name; that of class ${odd} is ${rows[odd]!.join(', ')}. Give zeroShot such texts: 'X X X X dog.' for length: 4`,
  );
};

/** The first values of contexts: embeddings of the words, or N(0, 0.02²). Throws `bad-option` for words that the model does not have. */
export const firstContext = (
  who: string,
  model: Model,
  tower: Tower,
  { words }: Place,
  shape: readonly number[],
): Init => {
  if (words.length === 0) return normal(0.02);
  const table = tokenTableOf(model, tower, who);
  const foreign = words.filter((id) => id >= table.rows);
  if (foreign.length > 0)
    throw new PeftError(
      'bad-option',
      `${who}: words has tokens ${foreign.join(', ')}, the vocabulary is 0 to ${table.rows - 1}`,
    );
  return broadcastTo(gather(table.weight, constant(Int32Array.from(words), [words.length])), shape);
};

/** The tower of texts beside one of pictures, and where its texts are embedded. Throws `no-match`, and `bad-option` for a context that leaves no room for a name. */
export const classTexts = (
  who: string,
  model: Model,
  { length, start }: Place,
): { readonly tower: Tower; readonly path: Path } => {
  const tower = textsBesidePictures(model, who);
  const [path] = tower.paths('embed').filter((site) => model.paths('embed').includes(site));
  if (path === undefined) throw new PeftError('no-match', `${who}: this part of the model has no embeddings of texts`);
  if (start + length >= model.positionsLeft)
    throw new PeftError(
      'bad-option',
      `${who}: a context of ${length} rows from place ${start} on leaves no room for a name in the ${model.positionsLeft} positions of a text; give a smaller length`,
    );
  return { tower, path };
};

/** Rows [batch, rows, d] with others [batch, m, d] from a place on. */
export const withRowsAt = (rows: Tensor, from: number, others: Tensor): Tensor => {
  const [all, end] = [rows.shape[1]!, from + others.shape[1]!];
  const part = (first: number, last: number): Tensor[] =>
    first < last ? [slice(rows, { axis: 1, start: first, end: last })] : [];
  return concatAll([...part(0, from), others, ...part(end, all)], 1);
};
