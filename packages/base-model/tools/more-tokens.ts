import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface TokenizerFile {
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  readonly model: { readonly vocab: Readonly<Record<string, number>> };
}

/** What stands around a text: `A` and `B` are the texts, all else are tokens; `:1` says that what is before it is of the second text. */
export interface Around {
  readonly single: readonly string[];
  readonly pair: readonly string[];
}

/** The content of `tokenizer.json`: the base model's, whose ids stay, with special tokens behind them, some of which stand around each text. */
export function withMoreTokens(baseFolder: string, tokens: readonly string[], { single, pair }: Around): object {
  const base = JSON.parse(readFileSync(join(baseFolder, 'tokenizer.json'), 'utf8')) as TokenizerFile;
  const first = Object.keys(base.model.vocab).length;
  const id = (token: string): number => first + tokens.indexOf(token);
  const part = (word: string): object => {
    const [name = '', type = '0'] = word.split(':');
    const type_id = Number(type);
    return name === 'A' || name === 'B' ? { Sequence: { id: name, type_id } } : { SpecialToken: { id: name, type_id } };
  };
  const used = tokens.filter((token) => single.includes(token));
  return {
    ...base,
    added_tokens: [
      ...base.added_tokens,
      ...tokens.map((content) => ({
        id: id(content),
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
    ],
    post_processor: {
      type: 'TemplateProcessing',
      single: single.map(part),
      pair: pair.map(part),
      special_tokens: Object.fromEntries(
        used.map((token) => [token, { id: token, ids: [id(token)], tokens: [token] }]),
      ),
    },
  };
}

/** The content of `tokenizer_config.json` for the tokenizer of {@link withMoreTokens}, whose special tokens have roles: `{ pad_token: '[PAD]' }`. */
export function moreTokensConfig(contextLength: number, roles: Readonly<Record<string, string>>): object {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: contextLength,
    ...roles,
    clean_up_tokenization_spaces: false,
    model_input_names: ['input_ids', 'attention_mask'],
  };
}
