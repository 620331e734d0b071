import type { FilePlace } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { map } from './map.ts';
import type { Stream } from './stream.ts';
import type { TextOptions } from './text.ts';
import { textLines } from './text-lines.ts';

const parse = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new PeftError('bad-data', `is not JSON: ${(cause as Error).message}`, { cause });
  }
};

/** The values of a file with one JSON value in each line (`.jsonl`). Errors are those of `text`, and `bad-data` for a line that is not JSON. */
export const jsonl = (place: FilePlace, options: Omit<TextOptions, 'separator'> = {}): Stream<unknown> =>
  map(parse)(textLines(place, options));
