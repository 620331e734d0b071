import { basename } from 'node:path';
import { type DocumentSplit, holdOut, normalizeText } from '@peftjs/base-model';
import { jsonl, map, pipe } from '@peftjs/data';
import { isObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';

/** The text of one line of the file. */
const textOf = (value: unknown): string => {
  if (isObject(value) && typeof value['text'] === 'string') return normalizeText(value['text']);
  const found = isObject(value) ? `the fields ${Object.keys(value).join(', ') || '(none)'}` : 'no object';
  throw new PeftError('bad-data', `has ${found}; the demo reads the field \`text\`, a string, in each line`);
};

/**
 * Reads a file with one object `{ "text": "…" }` in each line, a document each, and holds every tenth one out whole. Throws `file-missing`, and `bad-data` with
 * the line for what is not that, or where there are fewer than ten.
 */
export const loadJsonlFile = async (path: string): Promise<DocumentSplit> => {
  const texts = pipe(jsonl(path), map(textOf));
  const documents = [];
  for await (const text of texts.open())
    if (text !== '') documents.push({ source: basename(path), title: `document ${documents.length + 1}`, text });
  if (documents.length < 10)
    throw new PeftError(
      'bad-data',
      `${path}: has ${documents.length} texts, and needs at least 10, since every tenth is held out. Give more, or one text as a .txt file.`,
    );
  return holdOut(documents, 10);
};
