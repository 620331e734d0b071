import { Tokenizer as Library } from '@huggingface/tokenizers';
import { PeftError } from '@peftjs/tensor';
import { isObject } from '../json.ts';
import { quote, reasonOf } from '../report.ts';
import { mergePairs } from './merge-pairs.ts';

/** The part of a tokenizer that a vocabulary makes. */
export interface Model {
  /** The ids of a piece of text. Throws `PeftError` `bad-data` where the vocabulary can't spell it. */
  ids(piece: string): readonly number[];
  tokenOf(id: number): string | undefined;
}

/** No vocabulary holds this: half a surrogate pair cannot be written in UTF-8. */
const missing = '\ud800';

/** The library checks a file only as far as it uses it; whatever it stumbles over is the file's fault. */
const soundly = <T>(who: string, action: () => T): T => {
  try {
    return action();
  } catch (cause) {
    throw new PeftError(
      'bad-tokenizer',
      `${who}: is not a sound tokenizer: ${reasonOf(cause)}. Download it again, or use another one.`,
      { cause },
    );
  }
};

/** A vocabulary may hold anything; only texts are tokens. */
const text = (token: unknown): string => {
  if (typeof token === 'string') return token;
  throw new TypeError(`${String(token)} is no token`);
};

const parts = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };

/** The character that stands for a space in vocabularies of SentencePiece. */
const space = '\u2581';

/** Whether tokens are made of characters as they are. */
const mergesCharacters = ({ type, end_of_word_suffix }: Readonly<Record<string, unknown>>): boolean =>
  type === 'BPE' && !end_of_word_suffix;

type Merges = Parameters<typeof mergePairs>[1];

/** The ids of a piece by our own merges, where its characters are all tokens: several times as fast as the library. */
const mergerOf = (
  ids: ReadonlyMap<string, number>,
  json: Readonly<Record<string, unknown>>,
): ((piece: string) => readonly number[] | null) => {
  if (!mergesCharacters(json)) return () => null;
  const merged = mergePairs(ids, json['merges'] as Merges);
  if (!json['ignore_merges']) return merged;
  return (piece) => {
    const whole = ids.get(piece);
    return whole === undefined ? merged(piece) : [whole];
  };
};

/**
 * Whether words can be merged one by one: where no token has a space behind another character, no merge reaches from one word into the space before
 * the next, so that the merges of each are the same alone.
 */
const mergesWords = (json: Readonly<Record<string, unknown>>): boolean => {
  const { vocab, ignore_merges } = json;
  return (
    mergesCharacters(json) &&
    !ignore_merges &&
    isObject(vocab) &&
    Object.hasOwn(vocab, space) &&
    Object.keys(vocab).every((token) => token.lastIndexOf(space) <= 0 || !/[^\u2581]\u2581/.test(token))
  );
};

/** A piece cut before each space that follows another character. */
const wordsIn = (piece: string): readonly string[] => {
  const words: string[] = [];
  let start = 0;
  for (let at = piece.indexOf(space, 1); at >= 0; at = piece.indexOf(space, at + 1)) {
    if (piece[at - 1] === space) continue;
    words.push(piece.slice(start, at));
    start = at;
  }
  words.push(piece.slice(start));
  return words;
};

/** Words whose ids are kept, and how long they may be: most of a text is made of few. */
const [mostKept, longestKept] = [2 ** 16, 64];

/** A function whose results are kept, all of them forgotten when they are too many. */
const remembered = (idsOf: (word: string) => readonly number[]): ((word: string) => readonly number[]) => {
  const kept = new Map<string, readonly number[]>();
  return (word) => {
    const known = kept.get(word);
    if (known) return known;
    const ids = idsOf(word);
    if (word.length > longestKept) return ids;
    if (kept.size >= mostKept) kept.clear();
    kept.set(word, ids);
    return ids;
  };
};

/** The model of a checked `tokenizer.json`, by the library; merges of known characters, and the other parts, are ours. Throws `PeftError` `bad-tokenizer`. */
export const makeModel = (json: Readonly<Record<string, unknown>>, who: string): Model => {
  const model = soundly(who, () => new Library({ ...parts, model: json }, {}).model!);
  // A BPE model without an unknown token drops what it has no token for; with one that has no id it can be told.
  model.unk_token ??= missing;
  const idOf = (token: string): number => {
    const id = model.tokens_to_ids.get(token) ?? model.unk_token_id;
    if (id !== undefined) return id;
    const what = token.startsWith(missing) ? 'a character of the text' : `the token ${quote(token)}`;
    throw new PeftError(
      'bad-data',
      `${who}: the vocabulary has no id for ${what}. Remove it or use another tokenizer.`,
    );
  };
  const merged = soundly(who, () => mergerOf(model.tokens_to_ids, json));
  // One piece at a time: unknown tokens of one piece may become one, those of two may not.
  const idsOf = remembered((piece) => merged(piece) ?? soundly(who, () => model([piece]).map(text)).map(idOf));
  const cuts = mergesWords(json);
  return {
    ids: (piece) => {
      if (!cuts) return idsOf(piece);
      const words = wordsIn(piece);
      return words.length === 1 ? idsOf(piece) : words.flatMap(idsOf);
    },
    tokenOf: (id) => model.vocab[id],
  };
};
