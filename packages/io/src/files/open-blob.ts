import { unread } from './file-errors.ts';
import type { ByteRange, OpenFile } from './files.ts';

/** Bytes of a Blob. Throws `read-failed`, as a browser does where the file behind it has changed. */
export const readBlob = async (
  name: string,
  blob: Blob,
  { start = 0, end = blob.size }: ByteRange = {},
): Promise<Uint8Array<ArrayBuffer>> => {
  try {
    return new Uint8Array(await blob.slice(start, end).arrayBuffer());
  } catch (cause) {
    throw unread(name, cause, start);
  }
};

/** A Blob as an open file. */
export const openBlob = (name: string, blob: Blob): OpenFile => ({
  size: blob.size,
  read: async (at, into) => {
    const bytes = await readBlob(name, blob, { start: at, end: at + into.length });
    into.set(bytes);
    return bytes.length;
  },
  close: async () => {},
});
