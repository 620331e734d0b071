import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isPeftError, PeftError } from '@peftjs/tensor';

/** A file to write: its bytes in pieces, made when they are needed. */
export interface WholeFile {
  readonly path: string;
  readonly pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

const temporaryName = (path: string): string =>
  join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);

const write = async (path: string, pieces: WholeFile['pieces']): Promise<void> => {
  const file = await open(path, 'wx');
  try {
    for await (const piece of pieces) await file.writeFile(piece);
    await file.sync();
  } finally {
    await file.close();
  }
};

/**
 * Writes files under temporary names beside their places, flushes them, and renames them in order: a path never holds half a file. The
 * last one refers to the others; an old one is removed before they are replaced, so it never refers to what is not its own. When anything
 * fails the temporary files are removed. Throws `write-failed` with the cause; a `PeftError` of the pieces passes as it is.
 */
export const writeWhole = async (files: readonly WholeFile[]): Promise<void> => {
  const staged = files.map(({ path, pieces }) => ({ path, pieces, temporary: temporaryName(path) }));
  try {
    for (const { temporary, pieces } of staged) await write(temporary, pieces);
    if (staged.length > 1) await rm(staged.at(-1)!.path, { force: true });
    for (const { temporary, path } of staged) await rename(temporary, path);
  } catch (cause) {
    for (const { temporary } of staged) await rm(temporary, { force: true });
    if (isPeftError(cause)) throw cause;
    throw new PeftError(
      'write-failed',
      `${files.map((f) => f.path).join(', ')}: cannot be written: ${(cause as Error).message}`,
      { cause },
    );
  }
};
