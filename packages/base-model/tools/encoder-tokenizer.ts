import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The tokens that an encoder needs beside those of the base model, in the order of their ids. */
export const encoderSpecials = ['[CLS]', '[SEP]', '[PAD]', '[MASK]'] as const;

interface TokenizerFile {
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  readonly model: { readonly vocab: Readonly<Record<string, number>> };
}

/** The content of `tokenizer.json` of an encoder: the base model's, whose ids stay, with four special tokens behind them and `[CLS] text [SEP]` around each text. */
export function encoderTokenizerJson(baseFolder: string): object {
  const base = JSON.parse(readFileSync(join(baseFolder, 'tokenizer.json'), 'utf8')) as TokenizerFile;
  const first = Object.keys(base.model.vocab).length;
  const id = (token: (typeof encoderSpecials)[number]): number => first + encoderSpecials.indexOf(token);
  const special = (token: '[CLS]' | '[SEP]', type = 0): object => ({ SpecialToken: { id: token, type_id: type } });
  const text = (name: 'A' | 'B', type: number): object => ({ Sequence: { id: name, type_id: type } });
  return {
    ...base,
    added_tokens: [
      ...base.added_tokens,
      ...encoderSpecials.map((content) => ({
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
      single: [special('[CLS]'), text('A', 0), special('[SEP]')],
      pair: [special('[CLS]'), text('A', 0), special('[SEP]'), text('B', 1), special('[SEP]', 1)],
      special_tokens: Object.fromEntries(
        (['[CLS]', '[SEP]'] as const).map((token) => [token, { id: token, ids: [id(token)], tokens: [token] }]),
      ),
    },
  };
}

/** The content of `tokenizer_config.json` for the tokenizer of {@link encoderTokenizerJson}. */
export function encoderTokenizerConfig(contextLength: number): object {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: contextLength,
    cls_token: '[CLS]',
    sep_token: '[SEP]',
    pad_token: '[PAD]',
    mask_token: '[MASK]',
    clean_up_tokenization_spaces: false,
    model_input_names: ['input_ids', 'attention_mask'],
  };
}
