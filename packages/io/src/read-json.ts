import { PeftError, type PeftErrorCode } from '@peftjs/tensor';
import { joinPath } from './files/file-path.ts';
import type { Files } from './files/files.ts';
import { decodeUtf8, deepest, isObject, jsonFaults } from './json.ts';
import { listed, quote, reasonOf } from './report.ts';

/** Vocabularies take 40 MB, lists of shards 10, configs kilobytes. */
const maxBytes = 128 * 2 ** 20;

/**
 * The value that a JSON file holds. A key that occurs twice within one object is refused.
 *
 * Throws `PeftError`: `file-missing` where the file cannot be opened, `code` where it is no JSON.
 */
export const readJson = async (files: Files, path: string, code: PeftErrorCode): Promise<unknown> => {
  const who = joinPath(files.name, path);
  const bytes = await readSmallFile(files, path, who, code);
  let text: string;
  let json: unknown;
  try {
    text = decodeUtf8(bytes);
    json = JSON.parse(text);
  } catch (cause) {
    throw new PeftError(code, `${who}: is not JSON in UTF-8 (${reasonOf(cause)}). Download or write it again.`, {
      cause,
    });
  }
  const { duplicates, isDeep } = jsonFaults(text);
  if (isDeep)
    throw new PeftError(
      code,
      `${who}: has lists or objects nested more than ${deepest} deep. Download or write it again.`,
    );
  if (duplicates.length > 0)
    throw new PeftError(code, `${who}: has keys that occur twice; keep one of each:${listed(duplicates.map(quote))}`);
  return json;
};

/** The object that a JSON file holds. Throws as `readJson` does, and `code` where it holds something else. */
export const readJsonObject = async (
  files: Files,
  path: string,
  code: PeftErrorCode,
): Promise<Record<string, unknown>> => {
  const json = await readJson(files, path, code);
  if (isObject(json)) return json;
  throw new PeftError(code, `${joinPath(files.name, path)}: holds ${kindOf(json)} where a JSON object was expected.`);
};

const readSmallFile = async (files: Files, path: string, who: string, code: PeftErrorCode): Promise<Uint8Array> => {
  const bytes = await files.read(path, { end: maxBytes + 1 });
  if (bytes.length <= maxBytes) return bytes;
  throw new PeftError(code, `${who}: has more than ${maxBytes} bytes, the most that is read from a JSON file.`);
};

const kindOf = (value: unknown): string => {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
};
