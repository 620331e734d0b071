import { moreTokensConfig, withMoreTokens } from './more-tokens.ts';

/** Spans of a text that can be hidden at once. */
export const sentinels = 32;

/** The tokens that an encoder-decoder needs beside those of the base model, in the order of their ids: T5's names. */
export const seq2seqSpecials: readonly string[] = [
  '</s>',
  '<pad>',
  ...Array.from({ length: sentinels }, (_, i) => `<extra_id_${i}>`),
];

/** The content of `tokenizer.json` of an encoder-decoder: `text </s>`. */
export const seq2seqTokenizerJson = (baseFolder: string): object =>
  withMoreTokens(baseFolder, seq2seqSpecials, { single: ['A', '</s>'], pair: ['A', '</s>', 'B', '</s>'] });

/** The content of `tokenizer_config.json` for the tokenizer of {@link seq2seqTokenizerJson}. */
export const seq2seqTokenizerConfig = (contextLength: number): object =>
  moreTokensConfig(contextLength, { eos_token: '</s>', pad_token: '<pad>' });
