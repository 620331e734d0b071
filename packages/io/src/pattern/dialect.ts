import { before, byClass, charSet, codePointAt, type Fold, type Range } from './char-set.ts';
import type { CharTest, Edge } from './node.ts';

/** The flags that are on at a place of a pattern: `i`, and others that the dialect has. */
export type Flags = ReadonlySet<string>;

/** How one library reads patterns, where it differs from others. */
export interface Dialect {
  readonly name: 'Python' | 'Oniguruma';
  /** Flags that are known: of a group, and for the whole. */
  readonly flags: string;
  /** `\d`, `\w`, `\s`, also within classes. */
  set(letter: string, flags: Flags): CharTest | undefined;
  /** `.` */
  any(flags: Flags): CharTest;
  /** `^`, `$`, and letters after a backslash. */
  edge(sign: string, flags: Flags): Edge | undefined;
  /** The meaning of the flag `i`. */
  fold(flags: Flags): Fold;
  /** Oniguruma: `[[:alpha:]&&[^a]]`, `\p{L}`. */
  readonly nested: boolean;
}

const newline = 0x0a;
const not =
  (has: CharTest): CharTest =>
  (c) =>
    !has(c);

/** `\d` and `\D` of one definition. */
const withNegation = (sets: Readonly<Record<string, CharTest>>): Readonly<Record<string, CharTest>> =>
  Object.fromEntries(
    Object.entries(sets).flatMap(([letter, has]) => [
      [letter, has],
      [letter.toUpperCase(), not(has)],
    ]),
  );

const once = <T>(make: () => T): (() => T) => {
  let made: T | undefined;
  return () => (made ??= make());
};

const isStart: Edge = (_, at) => at === 0;
const isEnd: Edge = (text, at) => at === text.length;
const isEndOrLast: Edge = (text, at) => at === text.length || (at === text.length - 1 && text[at] === '\n');
const isLineStart: Edge = (text, at) => at === 0 || text[at - 1] === '\n';
const isLineEnd: Edge = (text, at) => at === text.length || text[at] === '\n';

const wordEdge =
  (isWord: CharTest, negated: boolean): Edge =>
  (text, at) => {
    const left = at > 0 && isWord(codePointAt(text, before(text, at)));
    const right = at < text.length && isWord(codePointAt(text, at));
    return (left !== right) !== negated;
  };

const asciiWord: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const hex: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x46],
  [0x61, 0x66],
];

const pythonSets = once(() => ({
  unicode: withNegation({
    d: charSet([], [byClass('\\p{Nd}')]),
    w: charSet([], [byClass('[\\p{L}\\p{N}_]')]),
    s: charSet([], [byClass('[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]')]),
  }),
  ascii: withNegation({
    d: charSet([[0x30, 0x39]]),
    w: charSet(asciiWord),
    s: charSet([
      [0x09, 0x0d],
      [0x20, 0x20],
    ]),
  }),
}));

const pythonSet = (letter: string, flags: Flags): CharTest | undefined =>
  pythonSets()[flags.has('a') ? 'ascii' : 'unicode'][letter];

/** Python's `re` for texts. https://docs.python.org/3/library/re.html */
export const python: Dialect = {
  name: 'Python',
  flags: 'aimsux',
  nested: false,
  set: pythonSet,
  fold: (flags) => (flags.has('i') ? (flags.has('a') ? 'ascii' : 'python') : null),
  any: (flags) => (flags.has('s') ? () => true : (c) => c !== newline),
  edge: (sign, flags) => {
    if (sign === '^') return flags.has('m') ? isLineStart : isStart;
    if (sign === '$') return flags.has('m') ? isLineEnd : isEndOrLast;
    if (sign === 'A') return isStart;
    if (sign === 'Z' || sign === 'z') return isEnd;
    if (sign === 'b' || sign === 'B') {
      const holds = wordEdge(pythonSet('w', flags)!, sign === 'B');
      // Up to Python 3.13 there is not even a \B in an empty text.
      return (text, at) => text.length > 0 && holds(text, at);
    }
    return undefined;
  },
};

const onigurumaSets = once(() =>
  withNegation({
    d: charSet([], [byClass('\\p{Nd}')]),
    w: charSet([], [byClass('[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]')]),
    s: charSet([], [byClass('\\p{White_Space}')]),
    h: charSet(hex),
  }),
);

/** Oniguruma with the syntax of Ruby, by which Hugging Face's tokenizers are read. https://github.com/kkos/oniguruma/blob/master/doc/RE */
export const oniguruma: Dialect = {
  name: 'Oniguruma',
  flags: 'imx',
  nested: true,
  set: (letter) => onigurumaSets()[letter],
  fold: (flags) => (flags.has('i') ? 'simple' : null),
  any: (flags) => (flags.has('m') ? () => true : (c) => c !== newline),
  edge: (sign) => {
    // Behind the last newline no line begins.
    if (sign === '^') return (text, at) => at === 0 || (text[at - 1] === '\n' && at < text.length);
    if (sign === '$') return isLineEnd;
    if (sign === 'A') return isStart;
    if (sign === 'z') return isEnd;
    if (sign === 'Z') return isEndOrLast;
    if (sign === 'b' || sign === 'B') return wordEdge(onigurumaSets()['w']!, sign === 'B');
    return undefined;
  },
};
