import { type DType, holds, PeftError, type TypedArray } from '@peftjs/tensor';
import { arrayName, hostArray, isWhole } from '@peftjs/tensor/executor';
import { map } from './map.ts';
import type { Row, Stage } from './stream.ts';
import { kindOf } from './words.ts';

/** The condition on a column. */
export interface ColumnRule {
  readonly dtype: DType;
  /** Values are at least this. Default: none for numbers, 0 for whole ones that `below` bounds. */
  readonly least?: number;
  /** Values are below this, as ids are below the size of the vocabulary. */
  readonly below?: number;
  /** A value that stands for none, as −100 does in labels: it is allowed too, and not all values may be it. */
  readonly none?: number;
}

/** Names of columns with what they must hold. */
export type ColumnRules = Readonly<Record<string, ColumnRule | DType>>;

const ranges: Partial<Record<DType, readonly [least: number, below: number]>> = {
  i32: [-(2 ** 31), 2 ** 31],
  u32: [0, 2 ** 32],
  u8: [0, 256],
};

const expected = ({ dtype, none }: ColumnRule, least: number, below: number): string => {
  const kind = isWhole(dtype) ? 'whole numbers' : 'numbers';
  const range = Number.isFinite(below) ? ` from ${least} to ${isWhole(dtype) ? below - 1 : `below ${below}`}` : '';
  return `${kind}${range}${none === undefined ? '' : `, or ${none}`}`;
};

/** The fault in the values of a column; null if there is none. */
export const columnProblem = (name: string, values: ArrayLike<unknown>, rule: ColumnRule): string | null => {
  const { dtype, none } = rule;
  const [lowest, highest] = ranges[dtype] ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const least = rule.least ?? (rule.below === undefined ? lowest : 0);
  const below = rule.below ?? highest;
  if (values.length === 0) return `${name} is empty`;
  let counted = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (none !== undefined && value === none) continue;
    counted++;
    const isSound =
      Number.isFinite(value) &&
      (value as number) >= least &&
      (value as number) < below &&
      (!isWhole(dtype) || Number.isInteger(value));
    if (!isSound) return `${name}[${i}] is ${kindOf(value)}; it holds ${expected(rule, least, below)}`;
  }
  return counted > 0 ? null : `${name} holds nothing but ${none}, so there is nothing to learn`;
};

const columnOf = (name: string, value: unknown, rule: ColumnRule): TypedArray => {
  const list = typeof value === 'number' ? [value] : value;
  if (!Array.isArray(list) && !ArrayBuffer.isView(list))
    throw new PeftError('bad-data', `${name} is ${kindOf(value)}; give a list of numbers or ${arrayName(rule.dtype)}`);
  const values = list as unknown as ArrayLike<unknown>;
  const problem = columnProblem(name, values, rule);
  if (problem) throw new PeftError('bad-data', problem);
  if (holds(rule.dtype, list)) return list;
  const column = hostArray(rule.dtype, values.length);
  column.set(values as ArrayLike<number>);
  return column;
};

/**
 * Objects as rows of these columns, in arrays of their types; other fields are left out. Numbers and lists of them may be as JSON has them, a
 * single number is a column of one. Throws `bad-data`, with the place, for what is missing, empty, no number, not whole, out of range, or
 * without a single label.
 */
export const columns = (rules: ColumnRules): Stage<unknown, Row> => {
  const entries = Object.entries(rules).map(
    ([name, rule]) => [name, typeof rule === 'string' ? { dtype: rule } : rule] as const,
  );
  const half = entries.find(([, { dtype }]) => dtype === 'f16');
  if (half) throw new PeftError('bad-option', `columns: ${half[0]} can't be f16, in which data does not come; use f32`);
  return map((value: unknown) => {
    if (typeof value !== 'object' || value === null)
      throw new PeftError(
        'bad-data',
        `is ${kindOf(value)} where an object with ${Object.keys(rules).join(', ')} is expected`,
      );
    return Object.fromEntries(
      entries.map(([name, rule]) => [name, columnOf(name, (value as Record<string, unknown>)[name], rule)]),
    );
  });
};

/** Rules for rows of a language model: `ids` of a vocabulary, and `labels`, which may be −100 for positions that do not count. */
export const tokenColumns = (vocabSize: number): { readonly ids: ColumnRule; readonly labels: ColumnRule } => ({
  ids: { dtype: 'i32', below: vocabSize },
  labels: { dtype: 'i32', below: vocabSize, none: -100 },
});
