import wrapAnsi from 'wrap-ansi';

/** Where words are written: `process.stdout` or `process.stderr`, as a rule. */
interface Stream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Writes text; on a terminal, lines break between words. */
export const say = (stream: Stream, text: string): void => {
  stream.write(stream.isTTY && stream.columns ? wrapAnsi(text, stream.columns, { trim: false }) : text);
};

/** A text that was cut off after so many tokens, up to its last whole word. */
export const wholeWords = (text: string): string => {
  const end = text.search(/\s\S*$/);
  return end > 0 ? `${text.slice(0, end)} …` : text;
};
