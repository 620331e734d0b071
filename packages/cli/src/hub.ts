import { resolve } from 'node:path';
import { type Files, filesAt, hubFiles, isHub } from '@peftjs/io';
import { type Bar, bar } from './bar.ts';
import type { Context } from './context.ts';

/** A place that means the same from any folder: paths from the root, addresses as they are. */
export const fixed = (place: string): string => (/^(https?|hub):/i.test(place) ? place : resolve(place));

/** The files at a place. While those of the hub are downloaded, a bar on the terminal shows how far that is. Throws as `filesAt`. */
export const shownFiles = async (
  place: string,
  context: Pick<Context, 'err'> = { err: process.stderr },
): Promise<Files> => {
  if (!isHub(place)) return filesAt(place);
  const bars = new Map<string, Bar>();
  return hubFiles(place, {
    onProgress: ({ file, received, total }) => {
      const megabytes = (bytes: number): number => Math.ceil(bytes / 1e6);
      const own =
        bars.get(file) ?? bar(context, file, { unit: 'MB', ...(total !== null && { total: megabytes(total) }) });
      bars.set(file, own);
      own.tell(megabytes(received));
      if (received === total) own.end();
    },
  });
};
