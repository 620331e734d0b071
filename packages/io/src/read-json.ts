import { readFile, stat } from 'node:fs/promises';
import { PeftError, type PeftErrorCode } from '@peftjs/tensor';
import { decodeUtf8, duplicateKeys, isObject } from './json.ts';
import { listed, quote, reasonOf } from './report.ts';

const maxBytes = 256 * 2 ** 20;

/** Whether the path leads to a file (links are followed). */
export const isFile = async (path: string): Promise<boolean> => {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ?? false;
};

/**
 * The object that a JSON file holds. A key that occurs twice within one object is refused.
 *
 * Throws `PeftError`: `file-missing` where the file cannot be opened, `code` where it is no JSON object.
 */
export const readJsonObject = async (path: string, code: PeftErrorCode): Promise<Record<string, unknown>> => {
  const bytes = await readSmallFile(path, code);
  let text: string;
  let json: unknown;
  try {
    text = decodeUtf8(bytes);
    json = JSON.parse(text);
  } catch (cause) {
    throw new PeftError(code, `${path}: is not JSON in UTF-8 (${reasonOf(cause)}). Download or write it again.`, {
      cause,
    });
  }
  if (!isObject(json)) throw new PeftError(code, `${path}: holds ${kindOf(json)} where a JSON object was expected.`);
  const duplicates = duplicateKeys(text);
  if (duplicates.length > 0)
    throw new PeftError(code, `${path}: has keys that occur twice; keep one of each:${listed(duplicates.map(quote))}`);
  return json;
};

const readSmallFile = async (path: string, code: PeftErrorCode): Promise<Uint8Array> => {
  const found = await stat(path).catch((cause: unknown) => {
    throw new PeftError('file-missing', `${path}: cannot be read: ${reasonOf(cause)}. Check the path.`, { cause });
  });
  if (!found.isFile()) throw new PeftError('file-missing', `${path}: is not a file. Check the path.`);
  if (found.size > maxBytes)
    throw new PeftError(code, `${path}: has ${found.size} bytes; at most ${maxBytes} are read from a JSON file.`);
  return readFile(path).catch((cause: unknown) => {
    throw new PeftError('file-missing', `${path}: cannot be read: ${reasonOf(cause)}.`, { cause });
  });
};

const kindOf = (value: unknown): string => {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
};
