import { joined } from './file-content.ts';
import type { OpenFile } from './files.ts';
import { fromNode, isNode } from './from-node.ts';

/** A SHA-256 of bytes that come in pieces. */
export interface Sha256 {
  update(piece: Uint8Array): void;
  /** Of all pieces, in hexadecimal. */
  digest(): Promise<string>;
}

const hexOf = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** A SHA-256. In a browser, which hashes only what is in memory as a whole, it keeps a copy of the pieces. */
export const sha256 = (): Sha256 => {
  if (isNode()) {
    const hash = fromNode('node:crypto').createHash('sha256');
    return { update: (piece) => void hash.update(piece), digest: async () => hash.digest('hex') };
  }
  const pieces: Uint8Array[] = [];
  return {
    update: (piece) => void pieces.push(piece.slice()),
    digest: async () => hexOf(await crypto.subtle.digest('SHA-256', joined(pieces))),
  };
};

const chunk = 2 ** 22;

/** The SHA-256 of a file as it was opened. */
export const sha256Of = async (file: OpenFile): Promise<string> => {
  const hash = sha256();
  const buffer = new Uint8Array(Math.min(chunk, file.size));
  for (let at = 0; at < file.size; ) {
    const count = await file.read(at, buffer);
    if (count === 0) break;
    hash.update(buffer.subarray(0, count));
    at += count;
  }
  return hash.digest();
};
