import type { ProgressStream } from '@peftjs/trainer';
import wrapAnsi from 'wrap-ansi';

/** Writes text; on a terminal, lines break between words. */
export const say = (stream: ProgressStream, text: string): void => {
  stream.write(stream.isTTY && stream.columns ? wrapAnsi(text, stream.columns, { trim: false }) : text);
};

/** A text that was cut off after so many tokens, up to its last whole word. */
export const wholeWords = (text: string): string => {
  const end = text.search(/\s\S*$/);
  return end > 0 ? `${text.slice(0, end)} …` : text;
};
