import { ignored, type Row } from '@peftjs/data';
import type { TypedArray } from '@peftjs/tensor';
import type { Lesson } from './lesson.ts';

/** Tokens of the longest row of an example; 0 of pictures. */
export const tokensOf = (rows: readonly Row[], { lengths }: Pick<Lesson, 'lengths'>): number =>
  Math.max(0, ...rows.flatMap((row) => lengths.map((name) => row[name]?.length ?? 0)));

/** A column of at most `context` tokens; the token that ends it stays. */
const cut = (name: string, column: TypedArray, context: number, ending: number | null): TypedArray => {
  if (column.length <= context) return column;
  const kept = column.slice(0, context);
  if (name === 'ids' && ending !== null && column.at(-1) === ending) kept[context - 1] = ending;
  return kept;
};

const isEmpty = (row: Row, { lengths: [text] }: Pick<Lesson, 'lengths'>): boolean =>
  text !== undefined && row[text]?.length === 0;

const isLearnt = ({ labels }: Row): boolean => !(labels instanceof Int32Array) || labels.some((id) => id !== ignored);

/** An example's rows with at most `context` tokens each; null where a row has no text, or nothing left to learn. */
export const fitted = (
  rows: readonly Row[],
  { lengths, ending }: Pick<Lesson, 'lengths' | 'ending'>,
  context: number,
): readonly Row[] | null => {
  const own = rows.map((row): Row => {
    if (tokensOf([row], { lengths }) <= context) return row;
    const columns = Object.entries(row).map(([name, column]) => [
      name,
      lengths.includes(name) ? cut(name, column, context, ending) : column,
    ]);
    return Object.fromEntries(columns);
  });
  return own.every((row) => isLearnt(row) && !isEmpty(row, { lengths })) ? own : null;
};

/** Tokens of rows, and how many of them are learnt: those with a label; of a row without labels of tokens it is the row. */
export const countsOf = (
  rows: readonly Row[],
  { lengths, group }: Pick<Lesson, 'lengths' | 'group'>,
): { readonly tokens: number; readonly learnt: number } => {
  const tokens = rows.reduce((n, row) => n + (row[lengths[0] ?? '']?.length ?? 0), 0);
  const isOfTokens = lengths.includes('labels');
  const learnt = rows.reduce((n, { labels }) => n + (labels?.filter((id) => id !== ignored).length ?? 0), 0);
  return { tokens, learnt: isOfTokens ? learnt : rows.length / group };
};
