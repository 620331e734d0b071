import { isObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { kindOf } from '../words.ts';
import { type FieldNames, type Fields, fieldsOf } from './fields.ts';
import type { DataFormat, ItemOf } from './items.ts';
import type { Layout } from './layout.ts';
import { alpaca, completions, judged, messages, preferences } from './layouts-of-chat.ts';
import { labels, questions, tags, targets, text } from './layouts-of-text.ts';

/** The layouts that items come in, by the format that they are of. */
export const layouts: { readonly [F in DataFormat]: Layout<ItemOf[F]> } = {
  messages,
  completions,
  alpaca,
  text,
  labels,
  tags,
  questions,
  targets,
  preferences,
  judged,
};

export const formats = Object.keys(layouts) as readonly DataFormat[];

/** A format that was recognised. */
export interface Recognised {
  readonly format: DataFormat;
  /** The reason, in a sentence: which fields it has. */
  readonly why: string;
  /** Fields that all items have and the format leaves alone. */
  readonly unused: readonly string[];
}

/** The columns of items with the kind of value in the first that has one, for messages. */
const seen = (items: readonly Fields[]): string => {
  const names = [...new Set(items.flatMap((fields) => Object.keys(fields)))];
  const words = names.map((name) => {
    const value = items.find((fields) => Object.hasOwn(fields, name))![name];
    const kind = typeof value === 'string' ? 'text' : Array.isArray(value) ? listKind(value) : kindOf(value);
    return `${name} (${kind})`;
  });
  return words.join(', ') || 'none';
};

const listKind = (list: readonly unknown[]): string => {
  const [first] = list;
  if (first === undefined) return 'an empty list';
  return isObject(first) ? `a list of { ${Object.keys(first).join(', ')} }` : `a list with ${kindOf(first)}`;
};

const needsOf = (): string => formats.map((format) => `- ${format}: ${layouts[format].needs}`).join('\n');

/** The sentence for items that are of no format, or of another than was said. */
export const unknownItem = (items: readonly Fields[], format?: DataFormat): PeftError =>
  new PeftError(
    'bad-data',
    format === undefined
      ? `the fields are ${seen(items)}, which is no format that is known. These are:\n${needsOf()}\nName fields that are called otherwise, as in fields: { text: 'review' }, or convert the items yourself with \`map\`.`
      : `the fields are ${seen(items)}; ${format} needs ${layouts[format].needs}`,
  );

/**
 * The format of some items, such as the first hundred of a file: the one whose fields all of them have, and the one that takes the most of them
 * where one has all that another has (`text` and `label` are labels, not text). Throws `bad-data` where it is none, with the fields and what
 * each format needs; and where it could be several, with those.
 */
export const recognise = (items: readonly unknown[], fields: FieldNames = {}): Recognised => {
  if (items.length === 0) throw new PeftError('bad-data', 'there are no items to recognise a format by');
  const all = items.map((one, i) => {
    const own = fieldsOf(one, fields);
    if (own) return own;
    throw new PeftError(
      'bad-data',
      `item ${i} is ${kindOf(one)} where an object with fields, a text or messages is expected`,
    );
  });
  const fitting = formats.flatMap((format) => {
    const each = all.map((one) => layouts[format].uses(one));
    return each.every((used) => used !== null) ? [{ format, used: new Set(each.flat()) }] : [];
  });
  const isLess = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean =>
    a.size < b.size && [...a].every((name) => b.has(name));
  const left = fitting.filter(({ used }) => !fitting.some((other) => isLess(used, other.used)));
  const [first, ...others] = left;
  if (!first) {
    const odd = formats
      .map((format) => ({ format, count: all.filter((one) => layouts[format].uses(one)).length }))
      .sort((a, b) => b.count - a.count)[0]!;
    const at = all.findIndex((one) => !layouts[odd.format].uses(one));
    // Most are of one format, and some are not: those are what is wrong.
    if (odd.count > all.length / 2)
      throw new PeftError(
        'bad-data',
        `${odd.count} of ${all.length} items are ${odd.format}, but of item ${at} ${unknownItem([all[at]!], odd.format).message}`,
      );
    throw unknownItem(all);
  }
  if (others.length > 0)
    throw new PeftError(
      'bad-data',
      `the fields are ${seen(all)}, which could be ${left.map(({ format, used }) => `${format} (${[...used].join(', ')})`).join(' or ')}: say which \`format\` it is`,
    );
  const doubt = all.map((one) => layouts[first.format].doubt?.(one)).find((reason) => reason != null);
  if (doubt) throw new PeftError('bad-data', `${first.format}: ${doubt}`);
  const unused = Object.keys(all[0]!).filter((name) => !first.used.has(name) && all.every((one) => name in one));
  const rest = unused.length > 0 ? `; ${unused.join(', ')} ${unused.length > 1 ? 'are' : 'is'} not used` : '';
  return { format: first.format, why: `items have ${[...first.used].join(', ')}${rest}`, unused };
};
