/** A value that JSON can hold. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/** An object that JSON can hold. */
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** Whether a parsed value is an object: not null, not a list. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Text from bytes that must be UTF-8; throws a `TypeError` where they are not. */
export const decodeUtf8 = (bytes: Uint8Array): string =>
  new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);

const quoteMark = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

/** The deepest nesting. No file of these formats has a deeper one, and whoever walks through a deeper value runs out of stack. */
export const deepest = 200;

/** The faults that `JSON.parse` does not tell. */
export interface JsonFaults {
  /** Keys that occur twice within one object. Only the last is kept, so two readers of one file could see different things. */
  readonly duplicates: readonly string[];
  /** Whether lists and objects are nested more than `deepest` deep. */
  readonly isDeep: boolean;
}

/** Looks through a valid JSON text for what `JSON.parse` does not tell. */
export const jsonFaults = (json: string): JsonFaults => {
  const duplicates = new Set<string>();
  const open: (Set<string> | undefined)[] = [];
  let keyNext = false;
  for (let i = 0; i < json.length; i++) {
    const char = json.charCodeAt(i);
    if (char === quoteMark) {
      const start = i++;
      while (i < json.length && json.charCodeAt(i) !== quoteMark) i += json.charCodeAt(i) === backslash ? 2 : 1;
      if (!keyNext) continue;
      const key: string = JSON.parse(json.slice(start, i + 1));
      const keys = open.at(-1);
      if (keys?.has(key)) duplicates.add(key);
      keys?.add(key);
      keyNext = false;
    } else if (char === openBrace || char === openBracket) {
      open.push(char === openBrace ? new Set() : undefined);
      if (open.length > deepest) return { duplicates: [], isDeep: true };
      keyNext = char === openBrace;
    } else if (char === closeBrace || char === closeBracket) {
      open.pop();
      keyNext = false;
    } else if (char === comma) {
      keyNext = open.at(-1) !== undefined;
    }
  }
  return { duplicates: [...duplicates], isDeep: false };
};
