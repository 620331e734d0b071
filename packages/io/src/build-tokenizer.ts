import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { PeftError } from '@peftjs/tensor';
import { quote, reasonOf } from './report.ts';
import type { Tokenizer } from './tokenizer.ts';
import { checkTokenizer, plainConfig } from './tokenizer-json.ts';

/** A tokenizer from parsed `tokenizer.json` and `tokenizer_config.json`. Throws `PeftError` `bad-tokenizer`. */
export const buildTokenizer = (
  json: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>> = {},
  who = 'tokenizer.json',
): Tokenizer => {
  const { vocabSize, complete } = checkTokenizer(json, who);
  const plain = plainConfig(config);
  const inner = soundly(who, () => new HfTokenizer(complete, plain));
  // A BPE model without an unknown token drops what it has no token for; with one that has no id it can be told.
  if (inner.model && inner.model.unk_token == null) inner.model.unk_token = missing;

  const special = (role: 'bos_token' | 'eos_token' | 'pad_token'): number | undefined => {
    const token = plain[role];
    if (typeof token !== 'string') return undefined;
    const id = inner.token_to_id(token);
    if (id !== undefined) return id;
    throw new PeftError(
      'bad-tokenizer',
      `${who}: has no token ${quote(token)}, which tokenizer_config.json names as ${role}.`,
    );
  };

  const encode: Tokenizer['encode'] = (text, { special = true } = {}) => {
    const { ids, tokens } = soundly(who, () => inner.encode(text, { add_special_tokens: special }));
    const bad = ids.findIndex((id) => !(id >= 0 && id < vocabSize));
    if (bad < 0) return Int32Array.from(ids);
    const what = tokens[bad] === missing ? 'a character of the text' : `the token ${quote(String(tokens[bad]))}`;
    throw new PeftError(
      'bad-data',
      `${who}: the vocabulary has no id for ${what}. Remove it or use another tokenizer.`,
    );
  };

  const decode: Tokenizer['decode'] = (ids, { skipSpecial = false } = {}) => {
    const list = [...ids];
    const bad = list.find((id) => !Number.isInteger(id) || inner.id_to_token(id) === undefined);
    if (bad !== undefined)
      throw new PeftError('bad-data', `${who}: id ${bad} is not in the vocabulary, whose ids are below ${vocabSize}.`);
    if (list.length === 0) return '';
    const options = { skip_special_tokens: skipSpecial, clean_up_tokenization_spaces: false };
    return soundly(who, () => inner.decode(list, options));
  };

  return {
    vocabSize,
    bosId: special('bos_token'),
    eosId: special('eos_token'),
    padId: special('pad_token'),
    encode,
    decode,
    idOf: (token) => inner.token_to_id(token),
  };
};

/** No vocabulary holds this: half a surrogate pair cannot be written in UTF-8. */
const missing = '\ud800';

/** The library checks a file only as far as it uses it; whatever it stumbles over is the file's fault. */
const soundly = <T>(who: string, action: () => T): T => {
  try {
    return action();
  } catch (cause) {
    throw new PeftError('bad-tokenizer', `${who}: is not a sound tokenizer: ${reasonOf(cause)}. Download it again.`, {
      cause,
    });
  }
};
