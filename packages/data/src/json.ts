import type { FilePlace, OpenFile } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { fileItems, type ItemReader } from './file-items.ts';
import { type JsonScanner, jsonScanner } from './json-scanner.ts';
import { lineOf } from './record-reader.ts';
import type { Stream } from './stream.ts';

/** How a JSON file is read. */
export interface JsonOptions {
  /** The field of the object that has the items, where the file is an object with several lists. Default: its only list. */
  readonly list?: string;
  /** Bytes that an item may have. Default 2^26. */
  readonly longest?: number;
}

const rules: Rules<JsonOptions> = { list: mustBe.text, longest: mustBe.count };

const refuse = (problem: string): never => {
  throw new PeftError('bad-data', problem);
};

const shownChar = (found: { readonly char: string } | null): string =>
  found ? `${JSON.stringify(found.char)} stands` : 'the file ends';

/** The names of an object's lists, and where the first item of each may stand. */
const listsIn = async (scanner: JsonScanner, object: number): Promise<ReadonlyMap<string, number>> => {
  const lists = new Map<string, number>();
  let at = object + 1;
  for (;;) {
    const name = await scanner.peek(at);
    if (name?.char === '}') return lists;
    if (name?.char !== '"') return refuse(`is not JSON: ${shownChar(name)} where a field of the object is expected`);
    const { value, after } = await scanner.value(name.at);
    const colon = await scanner.peek(after);
    const first = colon?.char === ':' ? await scanner.peek(colon.at + 1) : null;
    if (!first) return refuse(`is not JSON: ${shownChar(colon)} after the field ${JSON.stringify(value)}`);
    if (first.char === '[') lists.set(value as string, first.at + 1);
    const next = await scanner.peek(await scanner.skip(first.at));
    if (next?.char === '}') return lists;
    if (next?.char !== ',') return refuse(`is not JSON: ${shownChar(next)} after the field ${JSON.stringify(value)}`);
    at = next.at + 1;
  }
};

const startOfList = async (scanner: JsonScanner, file: OpenFile, list: string | undefined): Promise<number> => {
  const mark = new Uint8Array(3);
  const hasMark = (await file.read(0, mark)) === 3 && mark[0] === 0xef && mark[1] === 0xbb && mark[2] === 0xbf;
  const first = await scanner.peek(hasMark ? 3 : 0);
  if (first?.char === '[') return list === undefined ? first.at + 1 : refuse(`is a list, so there is no ${list} in it`);
  if (first?.char !== '{')
    return refuse(`${first ? `begins with ${JSON.stringify(first.char)}` : 'is empty'}; a list of items is expected`);
  const lists = await listsIn(scanner, first.at);
  const names = [...lists.keys()];
  const chosen = list ?? (names.length === 1 ? names[0] : undefined);
  const start = chosen === undefined ? undefined : lists.get(chosen);
  if (start !== undefined) return start;
  const seen = names.length === 0 ? 'no list' : `the lists ${names.join(', ')}`;
  return refuse(
    `is an object with ${seen}; ${list === undefined ? 'name the one with the items with `list`' : `there is no ${list}`}. A file with one object in each line is read by \`jsonl\`.`,
  );
};

const readItems = async (file: OpenFile, from: number | null, options: JsonOptions): Promise<ItemReader<unknown>> => {
  const scanner = jsonScanner(file, options.longest ?? 2 ** 26);
  const itemAt = async (at: number): Promise<number> => (await scanner.peek(at))?.at ?? at;
  // It stands at an item, or at the end of the list.
  let position = from ?? (await itemAt(await startOfList(scanner, file, options.list)));
  return {
    next: async () => {
      const first = await scanner.peek(position);
      if (first?.char === ']') return null;
      if (!first) return refuse('the file ends before the list does: it was cut short. Write it again.');
      const { value, after } = await scanner.value(first.at);
      const next = await scanner.peek(after);
      if (next?.char !== ',' && next?.char !== ']')
        return refuse(
          `is not JSON: ${shownChar(next)} after an item, where a comma or the end of the list is expected`,
        );
      position = next.char === ',' ? await itemAt(next.at + 1) : next.at;
      return { value, start: first.at };
    },
    position: () => position,
  };
};

/**
 * The items of a JSON file: of a list, or of the list in an object. One item is in memory at a time. Throws `file-missing`, `read-failed`;
 * `bad-data`, with item and line, for what is no JSON, no list, or ends too early.
 */
export const json = (place: FilePlace, options: JsonOptions = {}): Stream<unknown> => {
  checkOptions('json', rules, options);
  return fileItems(place, {
    stage: 'json',
    made: { list: options.list ?? null },
    read: (file, at) => readItems(file, at, options),
    where: async (file, start, index) => `item ${index} (line ${await lineOf(file, start)})`,
  });
};
