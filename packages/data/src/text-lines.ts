import type { FilePlace } from '@peftjs/io';
import { map } from './map.ts';
import type { Stream } from './stream.ts';
import { type TextOptions, text } from './text.ts';

/** The lines of a text file in UTF-8, without their ends; empty ones are left out. Errors are those of `text`. */
export const textLines = (place: FilePlace, options: Omit<TextOptions, 'separator'> = {}): Stream<string> =>
  map((line: string) => (line.endsWith('\r') ? line.slice(0, -1) : line))(text(place, { ...options, separator: '\n' }));
