import { type Document, type DocumentSplit, holdOut } from '../src/index.ts';
import { kingJamesBible } from './king-james-bible.ts';
import { novelChapters } from './novels.ts';
import { stateOfTheUnion } from './state-of-the-union.ts';

/**
 * The text that the base model is pretrained on: documents in a fixed order, every 20th held out whole.
 * 19 MB of American political prose, English fiction and the King James Bible, and nothing by Melville.
 */
export function pretrainingCorpus(): DocumentSplit {
  return holdOut([...stateOfTheUnion(), ...novelChapters(), ...kingJamesBible()], 20);
}

/** Size of a part of the corpus; `bytes` are UTF-8, `words` are runs without white space. */
export interface TextCount {
  readonly documents: number;
  readonly words: number;
  readonly bytes: number;
}

/** Counts documents, words and bytes. */
export function countText(documents: readonly Document[]): TextCount {
  return {
    documents: documents.length,
    words: documents.reduce((sum, { text }) => sum + text.split(/\s+/).length, 0),
    bytes: documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0),
  };
}

/** Groups documents by the work that they are of, in order of appearance. */
export function bySource(documents: readonly Document[]): Map<string, Document[]> {
  const groups = new Map<string, Document[]>();
  for (const document of documents) {
    const group = groups.get(document.source);
    if (group) group.push(document);
    else groups.set(document.source, [document]);
  }
  return groups;
}
