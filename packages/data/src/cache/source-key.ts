import { type FilePlace, fileAt, nameOf, sha256 } from '@peftjs/io';

const chunk = 2 ** 20;

/** The mark of a file: its name, its size and the SHA-256 of its bytes, which are read for it. Errors are those of reading. */
export const sourceKey = async (
  place: FilePlace,
): Promise<{ readonly name: string; readonly size: number; readonly sha256: string }> => {
  const at = await fileAt(place);
  const file = await at.files.open(at.path);
  try {
    const hash = sha256();
    for (let from = 0; from < file.size; ) {
      const bytes = new Uint8Array(Math.min(chunk, file.size - from));
      const got = await file.read(from, bytes);
      if (got === 0) break;
      hash.update(bytes.subarray(0, got));
      from += got;
    }
    return { name: nameOf(at), size: file.size, sha256: await hash.digest() };
  } finally {
    await file.close();
  }
};
