import { byteLevel } from './characters.ts';
import { type Find, type Part, unknownType } from './part.ts';
import { type Behavior, behaviors, type Piece, split } from './pieces.ts';

/** Splits a piece of a text before its tokens are found. */
export type PreTokenize = (piece: Piece) => readonly Piece[];

/** Places of a pattern of ours, with the flag `g`. */
const places =
  (pattern: RegExp): Find =>
  (text) =>
    Array.from(text.matchAll(pattern), ({ index, 0: { length } }) => [index, index + length] as const);

const by =
  (find: Find, behavior: Behavior, inverted = false): PreTokenize =>
  (piece) =>
    split(piece, find(piece.text), behavior, inverted);

const inTurn =
  (all: readonly PreTokenize[]): PreTokenize =>
  (piece) =>
    all.reduce<readonly Piece[]>((pieces, preTokenize) => pieces.flatMap(preTokenize), [piece]);

const behaviorOf = (part: Part, fallback?: Behavior): Behavior => {
  const name = part.text('behavior', fallback);
  return behaviors.find((b) => b === name) ?? part.fail(`behavior is none of ${behaviors.join(', ')}`);
};

const spaces = places(/\p{White_Space}/gu);
const signs = places(/[\p{P}$+<=>^`|~]/gu);
/** GPT-2's. */
const words = places(
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu,
);

const bytes = (part: Part): PreTokenize => {
  const hasPrefix = part.flag('add_prefix_space', true);
  const splits = part.flag('use_regex', true);
  return (piece) => {
    const text = hasPrefix && !piece.text.startsWith(' ') ? ` ${piece.text}` : piece.text;
    const pieces = splits ? split({ ...piece, text }, words(text), 'Isolated') : [{ ...piece, text }];
    return pieces.map((p) => ({ ...p, text: byteLevel(p.text) }));
  };
};

const metaspace = (part: Part): PreTokenize => {
  const mark = part.text('replacement', '▁');
  if ([...mark].length !== 1) part.fail('replacement is not one character');
  // Old files have a flag in place of the scheme.
  const scheme = part.text('prepend_scheme', part.flag('add_prefix_space', true) ? 'always' : 'never');
  if (!['always', 'never', 'first'].includes(scheme)) part.fail('prepend_scheme is none of always, never, first');
  const splits = part.flag('split', true);
  return ({ text, isFirst }) => {
    const marked = text.replaceAll(' ', () => mark);
    const needs = !marked.startsWith(mark) && (scheme === 'always' || (scheme === 'first' && isFirst));
    const piece = { text: needs ? mark + marked : marked, isFirst };
    const starts = places(new RegExp(escaped(mark), 'gu'));
    return splits ? split(piece, starts(piece.text), 'MergedWithNext') : [piece];
  };
};

const escaped = (mark: string): string => `\\u{${mark.codePointAt(0)!.toString(16)}}`;

const chunks = (length: number): Find =>
  function* (text) {
    for (let at = 0, end = 0; at < text.length; at = end) {
      for (let i = 0; i < length && end < text.length; i++) end += text.codePointAt(end)! > 0xffff ? 2 : 1;
      yield [at, end];
    }
  };

const makers: Readonly<Record<string, (part: Part) => PreTokenize>> = {
  BertPreTokenizer: () => inTurn([by(spaces, 'Removed'), by(signs, 'Isolated')]),
  ByteLevel: bytes,
  CharDelimiterSplit: (part) => {
    const delimiter = part.text('delimiter');
    if ([...delimiter].length !== 1) part.fail('delimiter is not one character');
    return by(places(new RegExp(escaped(delimiter), 'gu')), 'Removed');
  },
  Digits: (part) => by(places(/\p{N}/gu), part.flag('individual_digits', false) ? 'Isolated' : 'Contiguous'),
  FixedLength: (part) => by(chunks(Math.max(1, part.count('length', 5))), 'Isolated'),
  Metaspace: metaspace,
  Punctuation: (part) => by(signs, behaviorOf(part, 'Isolated')),
  Sequence: (part) => inTurn(part.parts('pretokenizers').map(preTokenizer)),
  Split: (part) => by(part.finder(), behaviorOf(part), part.flag('invert', false)),
  Whitespace: () =>
    by(
      places(
        /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu,
      ),
      'Removed',
      true,
    ),
  WhitespaceSplit: () => by(spaces, 'Removed'),
};

/**
 * The pre-tokenizer that a part of `tokenizer.json` describes. Throws `PeftError` `bad-tokenizer`.
 *
 * Source: huggingface/tokenizers, `pre_tokenizers/*.rs`, https://github.com/huggingface/tokenizers.
 */
export const preTokenizer = (part: Part): PreTokenize => {
  const make = Object.hasOwn(makers, part.type) ? makers[part.type] : undefined;
  return make ? make(part) : unknownType(part, makers);
};
