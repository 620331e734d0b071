import type { Files } from '@peftjs/io';

/** Files that belong to a model beside its weights and its config: those of its tokenizer, its chat template, how it generates, how pictures become pixels. */
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
  'preprocessor_config.json',
  'processor_config.json',
];

/** The folder of further chat templates. */
const moreTemplates = 'additional_chat_templates';

/** Those that a folder has, whole. Throws `read-failed`. */
export const companionsIn = async (files: Files): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> => {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  const more = (await files.list())?.includes(`${moreTemplates}/`) ? await files.list(moreTemplates) : null;
  const templates = (more ?? []).filter((name) => name.endsWith('.jinja')).map((name) => `${moreTemplates}/${name}`);
  for (const name of [...names, ...templates])
    if ((await files.size(name)) !== null) found.set(name, await files.read(name));
  return found;
};
