/** The content of a file: text (UTF-8), bytes, or pieces made one at a time. */
export type FileContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** The pieces of a content, as bytes. */
export async function* piecesOf(content: FileContent): AsyncGenerator<Uint8Array, void> {
  if (typeof content === 'string') yield new TextEncoder().encode(content);
  else if (content instanceof Uint8Array) yield content;
  else yield* content;
}

/** All bytes of a content. */
export const bytesOf = async (content: FileContent): Promise<Uint8Array<ArrayBuffer>> => {
  const pieces: Uint8Array[] = [];
  // A source may use one array for all its pieces.
  for await (const piece of piecesOf(content)) pieces.push(piece.slice());
  return joined(pieces);
};

/** Arrays of bytes, one after the other. */
export const joined = (pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(pieces.reduce((n, piece) => n + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
};

/** Whether two arrays hold the same bytes, or neither is there. */
export const sameBytes = (a: Uint8Array | null, b: Uint8Array | null): boolean => {
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
};
