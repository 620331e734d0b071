import type { CharTest } from './node.ts';

/** Characters from the first to the last code point, both included. */
export type Range = readonly [first: number, last: number];

const inRanges =
  (ranges: readonly Range[]): CharTest =>
  (c) =>
    ranges.some(([first, last]) => c >= first && c <= last);

/** A test by a class of JavaScript, `[\p{L}_]`: one character at a time, so no text can make it slow. */
export const byClass = (source: string, flags = 'u'): CharTest => {
  const pattern = new RegExp(`^${source}$`, flags);
  return (c) => pattern.test(String.fromCodePoint(c));
};

/** Answers are kept, so a set costs what a table costs, however it is described. */
const remembered = (test: CharTest): CharTest => {
  let table = new Int8Array(128);
  return (c) => {
    if (c >= table.length) {
      if (c > 0xffff) return test(c);
      const wide = new Int8Array(0x10000);
      wide.set(table);
      table = wide;
    }
    const known = table[c]!;
    if (known !== 0) return known > 0;
    const found = test(c);
    table[c] = found ? 1 : -1;
    return found;
  };
};

const escaped = (c: number): string => `\\u{${c.toString(16)}}`;

/** How far upper and lower case are the same: Unicode's simple case folding, the same with all kinds of i (Python), that of ASCII, or not at all. */
export type Fold = 'simple' | 'python' | 'ascii' | null;

/** I, i, İ, ı */
const kindsOfI: readonly number[] = [0x49, 0x69, 0x130, 0x131];

const isLetter = (c: number): boolean => (c | 0x20) >= 0x61 && (c | 0x20) <= 0x7a;

const folded = (ranges: readonly Range[], fold: Fold): CharTest => {
  const plain = inRanges(ranges);
  if (fold === null || ranges.length === 0) return plain;
  if (fold === 'ascii') return (c) => plain(c) || (isLetter(c) && plain(c ^ 0x20));
  const same = byClass(`[${ranges.map(([first, last]) => `${escaped(first)}-${escaped(last)}`).join('')}]`, 'iu');
  if (fold === 'simple' || !kindsOfI.some(plain)) return same;
  return (c) => same(c) || kindsOfI.includes(c);
};

/** The set of some ranges, in which case may be folded, and of other sets. */
export const charSet = (ranges: readonly Range[], others: readonly CharTest[] = [], fold: Fold = null): CharTest => {
  const listed = folded(ranges, fold);
  return remembered((c) => listed(c) || others.some((has) => has(c)));
};

/** One character. */
export const oneChar = (c: number, fold: Fold): CharTest => {
  const text = String.fromCodePoint(c);
  if (fold && (text.toLowerCase() !== text || text.toUpperCase() !== text)) return charSet([[c, c]], [], fold);
  return (other) => other === c;
};

/** All characters of both sets. */
export const intersection = (sets: readonly CharTest[]): CharTest => remembered((c) => sets.every((has) => has(c)));

/** The code point at a place of a text; half a pair stands for itself. NaN behind the end. */
export const codePointAt = (text: string, at: number): number => {
  const unit = text.charCodeAt(at);
  return (unit & 0xfc00) === 0xd800 ? text.codePointAt(at)! : unit;
};

/** The place of the character before; -1 at the start. */
export const before = (text: string, at: number): number => {
  const isLow = (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00;
  return isLow && (text.charCodeAt(at - 2) & 0xfc00) === 0xd800 ? at - 2 : at - 1;
};
