import { sha256 } from '@peftjs/io';

/** A value with the fields of its objects in the order of their names, so that equal items are equal texts. */
const ordered = (_: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;

/** SHA-256 of what an item holds, in hexadecimal: of a text of its own, of anything else of its JSON, whatever the order of its fields. */
export const contentHash = async (value: unknown): Promise<string> => {
  const hash = sha256();
  hash.update(new TextEncoder().encode(typeof value === 'string' ? value : (JSON.stringify(value, ordered) ?? '')));
  return hash.digest();
};
