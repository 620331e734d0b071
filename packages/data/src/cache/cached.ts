import { type Files, filesAt, isObject, type Place, sha256, writable } from '@peftjs/io';
import { checkOptions, isPeftError, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { checkCursor, countIn, cursorOf } from '../cursor.ts';
import { end, item, opened } from '../opened.ts';
import type { Cursor, Opened, Row, Stage, Stream } from '../stream.ts';
import { decodeBlock, encodeBlock, isAlike } from './block.ts';

/** Where rows are kept, and what they are made of. */
export interface CachedOptions {
  /** A folder that can be written: a path on disk, or `Files`. It may hold several caches. */
  readonly folder: Place;
  /**
   * All that the rows depend on, in JSON: what `sourceKey` says of the file and of the tokenizer's, and the options of the stages. Rows of another
   * key are never read.
   */
  readonly key: unknown;
  /** Is told when rows are made: because there are none yet, or those that are there are damaged. */
  readonly onMake?: (reason: 'new' | 'damaged') => void;
}

const rules: Rules<CachedOptions> = {
  folder: mustBe.given(mustBe.such('a folder', (v) => typeof v === 'string' || typeof v === 'object')),
  key: mustBe.given(mustBe.such('what the rows depend on', (v) => v !== undefined && v !== null && v !== '')),
  onMake: mustBe.fn,
};

/** A block of a cache: where its bytes are, what they hash to, and how many rows it has. */
interface BlockPlace {
  readonly at: number;
  readonly size: number;
  readonly hash: string;
  readonly rows: number;
}

const version = 1;
const blockBytes = 2 ** 20;

const hashOf = async (bytes: Uint8Array): Promise<string> => {
  const hash = sha256();
  hash.update(bytes);
  return hash.digest();
};

const bytesOf = (row: Row): number => Object.values(row).reduce((sum, { byteLength }) => sum + byteLength, 0);

/** The rows of a stream as blocks. */
async function* blocksOf(from: Opened<Row>): AsyncGenerator<readonly Row[], void> {
  let [rows, bytes]: [Row[], number] = [[], 0];
  for await (const row of from) {
    if (rows.length > 0 && (bytes >= blockBytes || !isAlike(rows[0]!, row))) {
      yield rows;
      [rows, bytes] = [[], 0];
    }
    rows.push(row);
    bytes += bytesOf(row);
  }
  if (rows.length > 0) yield rows;
}

const isPlace = (value: unknown): value is BlockPlace =>
  isObject(value) &&
  [value['at'], value['size'], value['rows']].every((one) => Number.isSafeInteger(one)) &&
  typeof value['hash'] === 'string';

interface Cache {
  readonly files: Files;
  readonly data: string;
  readonly index: string;
}

/** The blocks of a cache; null where there is none, undefined where what is there is damaged. */
const readIndex = async ({ files, data, index }: Cache): Promise<readonly BlockPlace[] | null | undefined> => {
  if ((await files.size(index)) === null) return null;
  try {
    const read: unknown = JSON.parse(new TextDecoder().decode(await files.read(index)));
    const blocks = isObject(read) && read['version'] === version ? (read['blocks'] as unknown) : undefined;
    if (!Array.isArray(blocks) || !blocks.every(isPlace)) return undefined;
    const size = blocks.reduce((sum, block) => sum + block.size, 0);
    return (await files.size(data)) === size ? blocks : undefined;
  } catch (error) {
    if (isPeftError(error)) throw error;
    return undefined;
  }
};

/** Reads all rows of a stream once, and writes them; data and index are there as a whole or not at all. */
const writeCache = async ({ files, data, index }: Cache, input: Stream<Row>): Promise<readonly BlockPlace[]> => {
  const blocks: BlockPlace[] = [];
  async function* pieces(): AsyncGenerator<Uint8Array, void> {
    let at = 0;
    for await (const rows of blocksOf(input.open())) {
      const bytes = encodeBlock(rows);
      blocks.push({ at, size: bytes.length, hash: await hashOf(bytes), rows: rows.length });
      at += bytes.length;
      yield bytes;
    }
  }
  async function* asJson(): AsyncGenerator<Uint8Array, void> {
    yield new TextEncoder().encode(JSON.stringify({ version, blocks }));
  }
  await writable(files).write(
    new Map([
      [data, pieces()],
      [index, asJson()],
    ]),
  );
  return blocks;
};

/**
 * Rows of a stream kept in files: what comes before is read and tokenised once, then its rows are read from there, in blocks that `shuffle` reads in
 * another order. What is damaged, as its hashes tell, is made again. The rows must be the same each time: it stands before `shuffle`, `repeat` and
 * whatever draws. Throws `write-failed`, errors of the stream, and `bad-data` for rows that a cache can't hold.
 */
export const cached = (options: CachedOptions): Stage<Row, Row> => {
  checkOptions('cached', rules, options);
  const { folder, key, onMake } = options;
  const stage = 'cached';
  return (input) => {
    let known: Promise<{ readonly cache: Cache; readonly name: string; blocks: readonly BlockPlace[] }> | undefined;
    const make = async (cache: Cache, reason: 'new' | 'damaged'): Promise<readonly BlockPlace[]> => {
      onMake?.(reason);
      return writeCache(cache, input);
    };
    const ready = () => {
      known ??= (async () => {
        const files = await filesAt(folder);
        const name = (await hashOf(new TextEncoder().encode(JSON.stringify([version, key])))).slice(0, 32);
        const cache = { files, data: `${name}.rows`, index: `${name}.json` };
        const found = await readIndex(cache);
        return { cache, name, blocks: found ?? (await make(cache, found === null ? 'new' : 'damaged')) };
      })();
      // What failed may be tried again.
      known.catch(() => {
        known = undefined;
      });
      return known;
    };
    const rowsOf = async (number: number): Promise<readonly Row[]> => {
      const state = await ready();
      const read = async (): Promise<readonly Row[] | null> => {
        const { at, size, hash } = state.blocks[number]!;
        const bytes = await state.cache.files.read(state.cache.data, { start: at, end: at + size });
        return (await hashOf(bytes)) === hash ? decodeBlock(bytes) : null;
      };
      const sound = await read();
      if (sound) return sound;
      state.blocks = await make(state.cache, 'damaged');
      const again = number < state.blocks.length ? await read() : null;
      if (again) return again;
      throw new PeftError(
        'read-failed',
        `${state.cache.files.name}/${state.cache.data}: is damaged, also once it was made again. Use another folder.`,
      );
    };
    /** Blocks from one to another. */
    const between = (first: number, until: number | null, at?: Cursor): Opened<Row> => {
      const checked = at && checkCursor(stage, {}, at);
      let block = checked ? countIn(stage, checked, 'block') : first;
      let row = checked ? countIn(stage, checked, 'row') : 0;
      let name = (checked?.['name'] as string | null | undefined) ?? null;
      let rows: readonly Row[] | undefined;
      const begin = async (): Promise<number> => {
        const state = await ready();
        if (checked && checked['name'] != null) checkCursor(stage, { name: state.name }, checked);
        name = state.name;
        return until ?? state.blocks.length;
      };
      return opened<Row>({
        next: async () => {
          const last = await begin();
          for (; block < last; block++, row = 0, rows = undefined) {
            rows ??= await rowsOf(block);
            if (row < rows.length) return item(rows[row++]!);
          }
          return end;
        },
        cursor: () => cursorOf(stage, {}, { name, block, row }),
        begin: async () => void (await begin()),
        origin: () => {
          const [inBlock, own] = [block, row - 1];
          return async () => {
            const { blocks } = await ready();
            return `row ${blocks.slice(0, inBlock).reduce((sum, one) => sum + one.rows, own)} of the cache`;
          };
        },
      });
    };
    return {
      open: (at) => between(0, null, at),
      parts: async () => {
        const { blocks } = await ready();
        return { count: blocks.length, single: false, open: (part, at) => between(part, part + 1, at) };
      },
    };
  };
};
