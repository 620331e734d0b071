const words = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/**
 * The printable character that stands for each byte, in order of bytes 0 to 255: visible Latin-1 characters stand for
 * themselves, the other 68 bytes take the code points from 256 on (Radford et al., GPT-2, 2019,
 * https://github.com/openai/gpt-2/blob/master/src/encoder.py).
 */
export const byteCharacters: readonly string[] = makeByteCharacters();

function makeByteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(visible ? byte : next++);
  });
}

/**
 * Splits text as GPT-2 does (contractions, words, numbers and punctuation, each with one space before it, and runs of
 * white space) and counts the pieces. Keys are the pieces' UTF-8 bytes in {@link byteCharacters}. No merge crosses the
 * border of a piece.
 */
export function countWords(texts: Iterable<string>): Map<string, number> {
  const pieces = new Map<string, number>();
  for (const text of texts) {
    for (const [piece] of text.matchAll(words)) pieces.set(piece, (pieces.get(piece) ?? 0) + 1);
  }
  return new Map([...pieces].map(([piece, count]) => [toByteCharacters(piece), count]));
}

function toByteCharacters(text: string): string {
  return Array.from(Buffer.from(text, 'utf8'), (byte) => byteCharacters[byte]).join('');
}
