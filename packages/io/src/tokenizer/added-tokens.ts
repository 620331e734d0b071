import { trimmed, whitespace, word } from './characters.ts';
import type { Normalize } from './normalizers.ts';

/** A token that is found in a text before anything else is. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Only where no letter or digit stands beside it. */
  readonly singleWord: boolean;
  /** With the spaces before it. */
  readonly lstrip: boolean;
  /** With the spaces behind it. */
  readonly rstrip: boolean;
  /** Found in the text as the normalizer makes it. */
  readonly normalized: boolean;
  /** Left out when special tokens are. */
  readonly special: boolean;
}

/** A part of a text: a token that was added, or what lies between; whether the text begins with it. */
export type Section = { readonly start: number; readonly end: number } & (
  | { readonly token: AddedToken }
  | { readonly token?: undefined; readonly text: string; readonly isFirst: boolean }
);

/** Whether a token found from `start` to `end` is taken as plain text. */
export type IsText = (token: AddedToken, start: number, end: number) => boolean;

/** Characters that lead on, and the token that ends here. */
interface TrieNode {
  readonly next: Map<string, TrieNode>;
  token?: AddedToken;
}

const trieOf = (tokens: Iterable<readonly [spelling: string, token: AddedToken]>): TrieNode => {
  const root: TrieNode = { next: new Map() };
  for (const [spelling, token] of tokens) {
    let node = root;
    for (const unit of spelling.split('')) {
      let next = node.next.get(unit);
      if (!next) node.next.set(unit, (next = { next: new Map() }));
      node = next;
    }
    if (node !== root) node.token ??= token;
  }
  return root;
};

/** The longest token that begins at a place, and where it ends. */
const longest = (root: TrieNode, text: string, from: number): readonly [AddedToken, end: number] | undefined => {
  let found: readonly [AddedToken, number] | undefined;
  let node: TrieNode | undefined = root;
  for (let at = from; at < text.length; ) {
    node = node.next.get(text[at++]!);
    if (!node) break;
    if (node.token) found = [node.token, at];
  }
  return found;
};

const lastChar = (text: string, end: number): string => {
  const low = /[\udc00-\udfff]/.test(text[end - 1] ?? '');
  return text.slice(low ? end - 2 : end - 1, end);
};

const isWithinWord = (text: string, start: number, end: number): boolean =>
  (start > 0 && word.test(lastChar(text, start))) ||
  (end < text.length && word.test(String.fromCodePoint(text.codePointAt(end)!)));

/**
 * Where tokens are in a text: the leftmost first, of those that begin together the longest.
 *
 * Source: huggingface/tokenizers, `AddedVocabulary::find_matches`.
 */
const sections = (root: TrieNode, text: string, isFirst: boolean, isText: IsText): readonly Section[] => {
  const out: Section[] = [];
  let done = 0;
  const plain = (end: number): void => {
    if (done < end) out.push({ text: text.slice(done, end), isFirst: isFirst && done === 0, start: done, end });
  };
  for (let at = 0; at < text.length; ) {
    const found = longest(root, text, at);
    if (!found) {
      at++;
      continue;
    }
    const [token, end] = found;
    let [start, stop] = [at, end];
    at = end;
    if (isText(token, start, stop)) continue;
    if (token.singleWord && isWithinWord(text, start, stop)) continue;
    // Spaces that the token before has taken are not there any more.
    if (token.lstrip) start = Math.max(done, trimmed(text.slice(0, start), false, true).length);
    if (token.rstrip) while (stop < text.length && whitespace.test(text[stop]!)) stop++;
    plain(start);
    // The next is looked for behind the token itself, so that one may begin with a space that this one has taken.
    out.push({ token, start, end: stop });
    done = stop;
  }
  plain(text.length);
  return out;
};

/** Splits texts at added tokens, and normalises what lies between. */
export interface Sectionizer {
  /** The parts of a text as it is. */
  readonly raw: (text: string, isText: IsText) => readonly Section[];
  /** Those of one of these parts, normalised. */
  readonly within: (section: Section & { readonly token?: undefined }, isText: IsText) => readonly Section[];
}

/** The sectionizer of a tokenizer's added tokens. */
export const sectionizer = (tokens: readonly AddedToken[], normalize: Normalize): Sectionizer => {
  const raw = trieOf(tokens.filter((t) => !t.normalized).map((t) => [t.content, t]));
  const changed = trieOf(tokens.filter((t) => t.normalized).map((t) => [normalize(t.content), t]));
  return {
    raw: (text, isText) => sections(raw, text, true, isText),
    within: ({ text, isFirst }, isText) => sections(changed, normalize(text), isFirst, isText),
  };
};
