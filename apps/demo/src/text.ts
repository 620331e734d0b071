import type { Document, DocumentSplit } from '@peftjs/base-model';
import type { Tokenizer } from '@peftjs/io';
import { packTokens, type TokenRows } from '@peftjs/trainer';
import { loadJsonlFile } from './data/jsonl-file.ts';
import { loadMobyDick } from './data/moby-dick.ts';
import { loadTextFile } from './data/text-file.ts';

/** The text of a run, as rows of tokens. */
export interface DemoText {
  readonly name: string;
  readonly train: TokenRows;
  readonly heldOut: TokenRows;
}

/** Loads Moby-Dick, a text file or one of JSON lines, and cuts it into rows; held-out rows keep every token. */
export const loadText = async (
  file: string | undefined,
  tokenizer: Tokenizer,
  context: number,
  endOfText: number,
): Promise<DemoText> => {
  const countTokens = (text: string): number => tokenizer.encode(text).length;
  const load = (): DocumentSplit | Promise<DocumentSplit> => {
    if (file === undefined) return loadMobyDick();
    if (file.endsWith('.jsonl')) return loadJsonlFile(file);
    return loadTextFile(file, { contextLength: context, countTokens });
  };
  const split = await load();
  const rows = (documents: readonly Document[], keepRest: boolean): TokenRows =>
    packTokens(
      documents.map((d) => tokenizer.encode(d.text)),
      { context, endOfText, keepRest },
    );
  return { name: split.train[0]!.source, train: rows(split.train, false), heldOut: rows(split.heldOut, true) };
};
