import type { OpenFile } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';

const chunk = 2 ** 18;
const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];
const [openList, closeList, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d];

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** Values of a JSON file found by their bytes, so that one of them is parsed at a time. */
export interface JsonScanner {
  /** The character after white space from a byte on, with its place; null at the end of the file. */
  peek(at: number): Promise<{ readonly char: string; readonly at: number } | null>;
  /** The byte after the value that starts at `at`; what it holds is not looked at. Throws `bad-data` where the file ends within it. */
  skip(at: number): Promise<number>;
  /** The value that starts at `at`, and the byte after it. Throws `bad-data` for what is no JSON. */
  value(at: number): Promise<{ readonly value: unknown; readonly after: number }>;
}

/** A scanner of a file; at most a value of `longest` bytes and a chunk are in memory. */
export const jsonScanner = (file: OpenFile, longest: number): JsonScanner => {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let base = 0;
  let bytes: Uint8Array = new Uint8Array(0);

  /** Reads on behind what is there; what lies before `keep` is dropped. */
  const more = async (keep: number): Promise<boolean> => {
    const at = base + bytes.length;
    const held = bytes.subarray(Math.min(keep, at) - base);
    const wanted = Math.min(Math.max(chunk, held.length), file.size - at);
    if (wanted <= 0) return false;
    const grown = new Uint8Array(held.length + wanted);
    grown.set(held);
    const got = await file.read(at, grown.subarray(held.length));
    if (got < wanted)
      throw new PeftError('read-failed', `the file ends at byte ${at + got}, it had ${file.size} bytes`);
    base = at - held.length;
    bytes = grown;
    return true;
  };
  /** Stands at a byte: within what is there, or with nothing there yet. */
  const seek = (at: number): void => {
    if (at >= base && at <= base + bytes.length) return;
    base = at;
    bytes = new Uint8Array(0);
  };
  const peek = async (from: number): Promise<{ readonly char: string; readonly at: number } | null> => {
    seek(from);
    for (let at = from; ; at++) {
      if (at - base >= bytes.length && !(await more(at))) return null;
      const byte = bytes[at - base]!;
      if (!isSpace(byte)) return { char: String.fromCharCode(byte), at };
    }
  };
  const endOf = async (from: number, isKept: boolean): Promise<number> => {
    seek(from);
    let [at, depth, isQuoted] = [from, 0, false];
    for (;;) {
      for (; at - base < bytes.length; at++) {
        const byte = bytes[at - base]!;
        if (isQuoted) {
          if (byte === backslash) at++;
          else if (byte === quote) {
            isQuoted = false;
            if (depth === 0) return at + 1;
          }
        } else if (byte === quote) isQuoted = true;
        else if (byte === openObject || byte === openList) depth++;
        else if (byte === closeObject || byte === closeList) {
          if (depth === 0) return at;
          if (--depth === 0) return at + 1;
        } else if (depth === 0 && (byte === comma || byte === colon || isSpace(byte))) return at;
      }
      if (isKept && at - from > longest)
        throw new PeftError('bad-data', `a value is longer than ${longest} bytes; give a larger \`longest\``);
      if (!(await more(isKept ? from : at))) {
        if (depth === 0 && !isQuoted && at > from) return at;
        throw new PeftError('bad-data', 'the file ends within a value: it was cut short. Write it again.');
      }
    }
  };
  return {
    peek,
    skip: (at) => endOf(at, false),
    value: async (at) => {
      const after = await endOf(at, true);
      try {
        return { value: JSON.parse(decoder.decode(bytes.subarray(at - base, after - base))) as unknown, after };
      } catch (cause) {
        throw new PeftError('bad-data', `is not JSON: ${(cause as Error).message}`, { cause });
      }
    },
  };
};
