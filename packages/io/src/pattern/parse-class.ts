import { byClass, charSet, intersection, type Range } from './char-set.ts';
import type { CharTest } from './node.ts';
import type { Reader } from './reader.ts';

const posix: Readonly<Record<string, string>> = {
  alpha: '\\p{Alphabetic}',
  alnum: '[\\p{Alphabetic}\\p{Nd}]',
  ascii: '[\\0-\\x7f]',
  blank: '[\\t\\p{Zs}]',
  cntrl: '\\p{Cc}',
  digit: '\\p{Nd}',
  lower: '\\p{Lowercase}',
  punct: '[\\p{P}$+<=>^`|~]',
  space: '\\p{White_Space}',
  upper: '\\p{Uppercase}',
  word: '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]',
  xdigit: '[0-9A-Fa-f]',
};

const classOf = (source: string): CharTest | undefined => {
  try {
    return charSet([], [byClass(source)]);
  } catch {
    return undefined;
  }
};

/** `\p{L}`, `\P{Han}`, `\p{^alpha}`, read behind the letter. */
export const property = (reader: Reader, letter: string): CharTest => {
  const text = reader.take(/\{\^?[A-Za-z][A-Za-z0-9_ =-]*\}/y) ?? reader.fail(`\\${letter} needs a name in braces`);
  const negated = (letter === 'P') !== text.startsWith('{^');
  const name = text.replace(/[{}^]/g, '');
  const has =
    classOf(posix[name.toLowerCase()] ?? `\\p{${name}}`) ??
    classOf(`\\p{Script=${name}}`) ??
    reader.fail(`there is no set of characters called ${JSON.stringify(name)}`);
  return negated ? (c) => !has(c) : has;
};

/** A class of characters, read behind its `[`. */
export const parseClass = (reader: Reader): CharTest => {
  const { dialect, flags } = reader;
  const negated = reader.takes('^');
  const parts: CharTest[] = [];
  let ranges: Range[] = [];
  let others: CharTest[] = [];
  const close = (): void => {
    if (ranges.length + others.length === 0) reader.fail('a class of characters is empty');
    parts.push(charSet(ranges, others, dialect.fold(flags)));
    [ranges, others] = [[], []];
  };

  for (let isFirst = true; ; isFirst = false) {
    if (reader.isDone()) reader.fail('a class of characters does not end');
    if (!isFirst && reader.takes(']')) break;
    if (dialect.nested && reader.takes('&&')) {
      close();
      continue;
    }
    const first = member(reader);
    if (typeof first !== 'number') {
      // Oniguruma takes the dash for itself then.
      if (!dialect.nested && reader.isRange()) reader.fail('a range begins with a set');
      others.push(first);
      continue;
    }
    if (!reader.isRange()) {
      ranges.push([first, first]);
      continue;
    }
    reader.takes('-');
    const last = member(reader);
    if (typeof last !== 'number') return reader.fail('a range ends with a set');
    if (last < first) reader.fail('a range ends before it begins');
    ranges.push([first, last]);
  }
  close();
  const all = parts.length === 1 ? parts[0]! : intersection(parts);
  return negated ? (c) => !all(c) : all;
};

/** One member of a class: a character, or a set within. */
const member = (reader: Reader): number | CharTest => {
  const { dialect } = reader;
  if (dialect.nested && reader.takes('[')) {
    const name = reader.take(/:\^?[a-z]+:\]/y);
    if (name === undefined) return reader.nest(() => parseClass(reader));
    const source = posix[name.replace(/[^a-z]/g, '')];
    const has = source === undefined ? reader.fail(`[${name} is not known`) : classOf(source)!;
    return name.startsWith(':^') ? (c) => !has(c) : has;
  }
  if (!reader.takes('\\')) return reader.next();
  const letter = reader.peek();
  const set = dialect.set(letter, reader.flags);
  if (set) {
    reader.next();
    return set;
  }
  if (dialect.nested && (letter === 'p' || letter === 'P')) {
    reader.next();
    return property(reader, letter);
  }
  if (letter === 'b') {
    reader.next();
    return 0x08;
  }
  return reader.character(true);
};
