import type { Document, DocumentSplit } from '@peftjs/base-model';
import type { Tokenizer } from '@peftjs/io';
import { packTokens, type TokenRows } from '@peftjs/trainer';
import { loadMobyDick } from './data/moby-dick.ts';
import { loadTextFile } from './data/text-file.ts';

/** The text of a run, as rows of tokens. */
export interface DemoText {
  readonly name: string;
  readonly train: TokenRows;
  readonly heldOut: TokenRows;
}

/** Loads Moby-Dick or a text file and cuts it into rows; held-out rows keep every token. */
export const loadText = (
  file: string | undefined,
  tokenizer: Tokenizer,
  context: number,
  endOfText: number,
): DemoText => {
  const countTokens = (text: string): number => tokenizer.encode(text).length;
  const split: DocumentSplit =
    file === undefined ? loadMobyDick() : loadTextFile(file, { contextLength: context, countTokens });
  const rows = (documents: readonly Document[], keepRest: boolean): TokenRows =>
    packTokens(
      documents.map((d) => tokenizer.encode(d.text)),
      { context, endOfText, keepRest },
    );
  return { name: split.train[0]!.source, train: rows(split.train, false), heldOut: rows(split.heldOut, true) };
};
