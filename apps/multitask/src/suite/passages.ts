import type { Document } from '@peftjs/base-model';
import type { Random } from '@peftjs/tensor';

/** One of several, at random. */
export const oneOf = <T>(all: readonly T[], random: Random): T => all[Math.floor(random() * all.length)]!;

/** A shuffled copy. */
export const inDisorder = <T>(all: readonly T[], random: Random): T[] => {
  const out = [...all];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
};

const sentenceEnd = /(?<=[.!?]["']?)\s+(?=["']?[A-Z])/;

/** The sentences of a paragraph. */
export const sentencesOf = (paragraph: string): readonly string[] => paragraph.split(sentenceEnd).filter(Boolean);

/** Words of a passage, at most. */
const most = 80;

/** A paragraph of a document, drawn at random, from one of its sentences on; of so many words at least, and cut off after eighty. */
export const passage = (document: Document, words: number, random: Random): string => {
  const paragraphs = document.text.split('\n').filter((line) => line.split(' ').length >= words);
  const own = paragraphs.length > 0 ? oneOf(paragraphs, random) : document.text.replaceAll('\n', ' ');
  const lengths = sentencesOf(own).map((sentence) => sentence.split(' ').length);
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
  const all = own.split(/\s+/);
  const open = starts.filter((start) => all.length - start >= words);
  const start = open.length > 0 ? oneOf(open, random) : 0;
  return all.slice(start, start + most).join(' ');
};
