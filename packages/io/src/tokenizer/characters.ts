/** `char::is_whitespace` of Rust, which JavaScript's `\s` and `trim` are not: U+0085 is one, U+FEFF is none. */
export const whitespace: RegExp = /\p{White_Space}/u;

/** Without whitespace at its start or its end. */
export const trimmed = (text: string, left: boolean, right: boolean): string => {
  let [start, end] = [0, text.length];
  while (left && start < end && whitespace.test(text[start]!)) start++;
  while (right && end > start && whitespace.test(text[end - 1]!)) end--;
  return text.slice(start, end);
};

/** `\w` of Rust's regular expressions. */
export const word: RegExp = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

/** Lower case by itself, whatever stands around it: the last σ of a word stays one. */
export const lowered = (text: string): string => {
  const lower = text.toLowerCase();
  return text.includes('Σ') ? Array.from(text, (c) => c.toLowerCase()).join('') : lower;
};

const isShown = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);

/** The character that stands for each byte in a byte-level vocabulary (Radford and others, 2019). */
const charOfByte: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(isShown(b) ? b : next++));
})();

/** The reverse. */
export const byteOfChar: ReadonlyMap<string, number> = new Map(charOfByte.map((c, b) => [c, b]));

const encoder = new TextEncoder();

/** A text as the characters that stand for its bytes in UTF-8. */
export const byteLevel = (text: string): string => {
  // Most texts: characters that stand for themselves, and spaces.
  if (/^[ -~]*$/.test(text)) return text.replaceAll(' ', charOfByte[32]!);
  let out = '';
  for (const byte of encoder.encode(text)) out += charOfByte[byte];
  return out;
};

/** A text from bytes; each part that is not UTF-8 becomes U+FFFD. */
export const fromUtf8 = (bytes: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
