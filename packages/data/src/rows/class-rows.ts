import type { Tokenizer } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import type { LabelItem, TagItem } from '../formats/items.ts';
import { ignored } from '../ignored.ts';
import { map } from '../map.ts';
import type { Row, Stage } from '../stream.ts';
import { kindOf } from '../words.ts';

const classNames = mustBe.such(
  'the names of the classes, each another',
  (v) => Array.isArray(v) && v.length > 0 && v.every((one) => typeof one === 'string') && new Set(v).size === v.length,
);

/** The numbers of classes by their names. Throws `bad-data` for labels that are no class. */
const numbers = (names: readonly string[]): ((label: string | number) => number) => {
  const byName = new Map(names.map((name, i) => [name, i]));
  return (label) => {
    const at = typeof label === 'number' ? label : byName.get(label);
    if (at !== undefined && Number.isInteger(at) && at >= 0 && at < names.length) return at;
    const some = names.length > 12 ? `${names.slice(0, 12).join(', ')}, …` : names.join(', ');
    throw new PeftError('bad-data', `is of the class ${kindOf(label)}; the ${names.length} classes are ${some}`);
  };
};

/** How labelled texts become rows. */
export interface LabelRowOptions {
  /** The names of the classes, as `classNames` gathers them; for `regression` how many numbers there are, 1 by default. */
  readonly labels?: readonly string[];
  /** One class of several, any number of them, or a number to be estimated. Default `single-label`. */
  readonly problem?: 'single-label' | 'multi-label' | 'regression';
}

const labelRules: Rules<LabelRowOptions> = {
  labels: classNames,
  problem: mustBe.oneOf(['single-label', 'multi-label', 'regression']),
};

/** The number that a label of a regression is. */
const estimate = (label: string | number): number => {
  const value = typeof label === 'string' && label.trim() !== '' ? Number(label) : label;
  if (Number.isFinite(value)) return value as number;
  throw new PeftError('bad-data', `has ${kindOf(label)} as label where a number is to be estimated`);
};

/**
 * Texts, or pairs of them, with a label as rows of `ids` and `labels`, and `tokenTypes` where the tokenizer tells two texts apart. `labels` is, as
 * `sequenceClassifier` takes it, one number of a class (i32), or f32: 1 for each class that it is of and 0 for others, or the numbers of a
 * regression. `batch` is told of it: `shapes: { labels: [] }` for one class, else `[classes]`. Throws `bad-data`, with the place, for labels that are none.
 */
export const labelRows = (
  { encode, pair }: Pick<Tokenizer, 'encode' | 'pair'>,
  options: LabelRowOptions = {},
): Stage<LabelItem, Row> => {
  checkOptions('labelRows', labelRules, options, ({ labels, problem }) =>
    problem === 'regression' || labels
      ? []
      : ['labels must be given: the names of the classes; `classNames` gathers them'],
  );
  const { labels: names = [], problem = 'single-label' } = options;
  const numberOf = numbers(names);
  const labelOf = (label: LabelItem['label']): Int32Array | Float32Array => {
    const list = typeof label === 'object' ? label : [label];
    if (problem === 'regression') {
      const most = Math.max(1, names.length);
      if (list.length === most) return Float32Array.from(list, estimate);
      throw new PeftError('bad-data', `has ${list.length} numbers as label, ${most} are to be estimated`);
    }
    if (problem === 'multi-label') {
      const isFlags = list.length === names.length && list.every((one) => one === 0 || one === 1);
      // Three flags can't be numbers of three classes; two may.
      if (isFlags && new Set(list).size < list.length) return Float32Array.from(list as readonly number[]);
      if (isFlags && list.length > 1)
        throw new PeftError(
          'bad-data',
          `has [${list.join(', ')}] as labels, which may be two classes by their numbers or a flag for each; give their names`,
        );
      const row = new Float32Array(names.length);
      for (const one of list) row[numberOf(one)] = 1;
      return row;
    }
    if (list.length === 1) return Int32Array.of(numberOf(list[0]!));
    throw new PeftError('bad-data', `has ${list.length} labels where a text has one; give problem: 'multi-label'`);
  };
  return map(({ text, pair: other, label }: LabelItem): Row => {
    const labels = labelOf(label);
    if (other === undefined) return { ids: encode(text), labels };
    const { ids, types } = pair(encode(text, { special: false }), encode(other, { special: false }));
    return { ids, labels, ...(types.some((type) => type > 0) && { tokenTypes: types }) };
  });
};

/** How tagged words become rows. */
export interface TagRowOptions {
  /** The names of the classes, as `classNames` gathers them. */
  readonly labels: readonly string[];
}

/**
 * Words with a tag each as rows of `ids` and `labels`: the words are joined by spaces, the first token of each has its tag, all others −100, as in
 * transformers' examples of token classification. A word that the tokenizer makes nothing of has none. Throws `bad-data`, with the place,
 * for tags that are no class.
 */
export const tagRows = (
  { encode, locate }: Pick<Tokenizer, 'encode' | 'locate'>,
  options: TagRowOptions,
): Stage<TagItem, Row> => {
  checkOptions('tagRows', { labels: mustBe.given(classNames) } satisfies Rules<TagRowOptions>, options);
  const numberOf = numbers(options.labels);
  return map(({ tokens, tags }: TagItem): Row => {
    const own = tags.map(numberOf);
    let end = -1;
    const ends = tokens.map((word) => (end += word.length + 1));
    const text = tokens.join(' ');
    // A word begins where the one before it ends, whatever becomes of the space between.
    const { ids: plain, places } = locate(text, ends, { readSpecial: false });
    const ids = encode(text, { readSpecial: false });
    const labels = new Int32Array(ids.length).fill(ignored);
    const shift = offsetOf(ids, plain);
    for (const [i, tag] of own.entries()) {
      const [from, to] = [i === 0 ? 0 : places[i - 1]!.before, places[i]!.before];
      if (from < to) labels[shift + from] = tag;
    }
    return { ids, labels };
  });
};

/** Where a list stands in a longer one that has ids around it. */
const offsetOf = (all: Int32Array, part: Int32Array): number => {
  for (let at = 0; at + part.length <= all.length; at++) if (part.every((id, i) => all[at + i] === id)) return at;
  throw new PeftError('bad-tokenizer', 'tagRows: the tokens of a text are others once there are tokens around it');
};
