import { joined } from './file-content.ts';

/** The pieces of a body as they come. Leaving the loop ends the download. */
export async function* bodyOf(response: Response): AsyncGenerator<Uint8Array, void> {
  const reader = response.body?.getReader();
  try {
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read())
      yield next.value as Uint8Array;
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

/** Fills an array with what a body holds, without a second copy of it; `onPiece` is told how many bytes came. Throws where the body ends before. */
export const pour = async (response: Response, into: Uint8Array, onPiece: (count: number) => void): Promise<void> => {
  let done = 0;
  for await (const piece of bodyOf(response)) {
    const part = piece.subarray(0, into.length - done);
    into.set(part, done);
    done += part.length;
    onPiece(part.length);
    if (done === into.length) return;
  }
  throw new Error(`the answer ends after ${done} of ${into.length} bytes`);
};

/** The content of a body, at most so many bytes. A longer download is ended. */
export const firstBytes = async (response: Response, most: number): Promise<Uint8Array<ArrayBuffer>> => {
  const pieces: Uint8Array[] = [];
  let left = most;
  if (left > 0)
    for await (const piece of bodyOf(response)) {
      pieces.push(piece.subarray(0, left));
      left -= piece.length;
      if (left <= 0) break;
    }
  else await response.body?.cancel();
  return joined(pieces);
};
