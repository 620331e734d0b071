import { moreTokensConfig, withMoreTokens } from './more-tokens.ts';

/** The tokens that an encoder needs beside those of the base model, in the order of their ids. */
export const encoderSpecials = ['[CLS]', '[SEP]', '[PAD]', '[MASK]'] as const;

/** The content of `tokenizer.json` of an encoder: `[CLS] text [SEP]`. */
export const encoderTokenizerJson = (baseFolder: string): object =>
  withMoreTokens(baseFolder, encoderSpecials, {
    single: ['[CLS]', 'A', '[SEP]'],
    pair: ['[CLS]', 'A', '[SEP]', 'B:1', '[SEP]:1'],
  });

/** The content of `tokenizer_config.json` for the tokenizer of {@link encoderTokenizerJson}. */
export const encoderTokenizerConfig = (contextLength: number): object =>
  moreTokensConfig(contextLength, { cls_token: '[CLS]', sep_token: '[SEP]', pad_token: '[PAD]', mask_token: '[MASK]' });
