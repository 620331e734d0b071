import { Tokenizer as Library } from '@huggingface/tokenizers';
import { PeftError } from '@peftjs/tensor';
import { quote, reasonOf } from '../report.ts';

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

/** The model of a checked `tokenizer.json`, by the library; the other parts are ours. Throws `PeftError` `bad-tokenizer`. */
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
  return {
    // One piece at a time: unknown tokens of one piece may become one, those of two may not.
    ids: (piece) => soundly(who, () => model([piece]).map(text)).map(idOf),
    tokenOf: (id) => model.vocab[id],
  };
};
