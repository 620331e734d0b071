import type { Files } from '@peftjs/io';

/** Files that belong to a model beside its weights and its config: those of its tokenizer, its chat template, how it generates. */
const names = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'vocab.txt',
  'merges.txt',
  'tokenizer.model',
  'spiece.model',
  'sentencepiece.bpe.model',
  'chat_template.jinja',
  'chat_template.json',
  'generation_config.json',
];

/** Those that a folder has, whole. Throws `read-failed`. */
export const companionsIn = async (files: Files): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> => {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of names) if ((await files.size(name)) !== null) found.set(name, await files.read(name));
  return found;
};
