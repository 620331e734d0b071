import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import type { Document } from '../src/index.ts';
import { endOfText } from './tokenizer-files.ts';

/** Reads `tokenizer.json` and `tokenizer_config.json` from a model folder. */
export function readTokenizer(folder: string): Tokenizer {
  const read = (name: string): object => JSON.parse(readFileSync(join(folder, name), 'utf8'));
  return new Tokenizer(read('tokenizer.json'), read('tokenizer_config.json'));
}

/**
 * Documents as one stream of token ids, `<|endoftext|>` before each and after the last: what a model is trained on and
 * measured on, so that every model is measured on the same tokens.
 */
export function tokenStream(tokenizer: Tokenizer, documents: readonly Document[]): Uint16Array {
  const separator = tokenizer.token_to_id(endOfText);
  if (separator === undefined) throw new Error(`tokenStream: the tokenizer has no token ${endOfText}.`);
  const ids = documents.map(({ text }) => tokenizer.encode(text, { add_special_tokens: false }).ids);
  const stream = new Uint16Array(ids.reduce((sum, { length }) => sum + length + 1, 1));
  let position = 0;
  for (const document of ids) {
    stream[position++] = separator;
    stream.set(document, position);
    position += document.length;
  }
  stream[position] = separator;
  return stream;
}
