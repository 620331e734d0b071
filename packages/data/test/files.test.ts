import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { memoryFiles } from '@peftjs/io';
import { describe, expect, test, vi } from 'vitest';
import {
  csv,
  fromArray,
  gunzip,
  inSequence,
  json,
  jsonl,
  openRows,
  parquet,
  pipe,
  shuffle,
  textLines,
} from '../src/index.ts';
import { failure, obeysStreamLaws, readAll } from './stream-laws.ts';
import { watchedFiles } from './watched-files.ts';

const golden = join(import.meta.dirname, '../../../tools/golden/data/data');
const file = (content: string | Uint8Array, path = 'a.txt') => ({
  files: memoryFiles(new Map([[path, content]])),
  path,
});
const itemsOf = async <T>(stream: Parameters<typeof readAll<T>>[0]) => (await readAll(stream)).items;

describe('json', () => {
  const items = [{ a: 'x]},"\\' }, [1, [2]], 'text "in" quotes', 3.5, null, {}, 'ü\u2028'];
  test.each([
    ['a list', JSON.stringify(items)],
    ['a list over lines', `\ufeff${JSON.stringify(items, null, 2)}\n`],
    ['the only list of an object', JSON.stringify({ version: [1].length, info: { list: [1] }, data: items })],
  ])('%s', async (_, content) => {
    expect(await obeysStreamLaws(json(file(content)))).toEqual(items);
  });
  test('a list that is named', async () => {
    const place = file(JSON.stringify({ train: [1, 2], test: [3] }));
    expect(await itemsOf(json(place, { list: 'test' }))).toEqual([3]);
    expect(await failure('bad-data', json(place))).toBe(
      'memory/a.txt: is an object with the lists train, test; name the one with the items with `list`. A file with one object in each line is read by `jsonl`.',
    );
    const { cursors } = await readAll(json(place, { list: 'train' }));
    expect(await failure('state-mismatch', json(place, { list: 'test' }), cursors[1])).toContain('list');
  });
  test.each([
    ['[1, 2', 'memory/a.txt item 1 (line 1): is not JSON: the file ends after an item'],
    ['[1,\n{"a": "b}', 'memory/a.txt item 1 (line 2): the file ends within a value'],
    ['[1,\n {a: 1}]', 'memory/a.txt item 1 (line 2): is not JSON'],
    ['[1 2]', 'memory/a.txt item 0 (line 1): is not JSON: "2" stands after an item'],
    ['{"a": 1}\n{"a": 2}', 'memory/a.txt: is an object with no list'],
    ['"a"', 'memory/a.txt: begins with "\\""; a list of items is expected'],
    ['', 'memory/a.txt: is empty'],
  ])('%j is refused', async (content, message) => {
    expect(await failure('bad-data', json(file(content)))).toContain(message);
  });
  test('one item is in memory at a time, and resuming reads from there', async () => {
    const big = Array.from({ length: 40 }, (_, i) => `${i}`.repeat(50_000));
    const files = watchedFiles(new Map([['a.json', JSON.stringify(big)]]));
    const stream = json({ files, path: 'a.json' });
    const { items, cursors } = await readAll(stream);
    expect(items).toEqual(big);
    files.reads.length = 0;
    expect((await readAll(stream, cursors[39])).items).toEqual([big[39]]);
    expect(Math.min(...files.reads.map(({ at }) => at))).toBe(cursors[39]!['at']);
    expect(files.open_).toBe(0);
  });
});

describe('csv', () => {
  test('fields in quotes, with delimiters, quotes and line breaks', async () => {
    const content = '\ufefftext,label\r\n"a, ""b""",x\r\n\r\n"line\n\nbreak",y\r\nplain,"z"\r\n';
    expect(await obeysStreamLaws(csv(file(content)))).toEqual([
      { text: 'a, "b"', label: 'x' },
      { text: 'line\n\nbreak', label: 'y' },
      { text: 'plain', label: 'z' },
    ]);
  });
  test('tabs, and columns without names', async () => {
    const rows = csv(file('a "b"\t1\nc\t2'.replaceAll('"', '')), { delimiter: '\t', columns: ['text', 'label'] });
    expect(await obeysStreamLaws(rows)).toEqual([
      { text: 'a b', label: '1' },
      { text: 'c', label: '2' },
    ]);
  });
  test.each([
    ['a,b\n1,2\n3\n', 'memory/a.txt line 3: has 1 fields, the columns are 2: a, b'],
    ['a,b\n1,"2\n3,4\n', 'memory/a.txt line 2: a quote that opens here is never closed'],
    ['a,b\n1,"x" z\n', 'memory/a.txt line 2: is no row of a table: Trailing quote'],
    ['a,b\n1,5" x\n2,6" y\n', 'memory/a.txt line 2: is no row of a table: a quote stands within a field'],
    ['a,a\n1,2\n', 'memory/a.txt: the first line names the column a twice'],
    ['a,\n1,2\n', 'memory/a.txt: the first line has a column without a name'],
    ['\n', 'memory/a.txt: is empty'],
  ])('%j is refused', async (content, message) => {
    expect(await failure('bad-data', csv(file(content)))).toContain(message);
  });
});

describe('parquet', () => {
  const rowsOf = async (): Promise<unknown[]> => JSON.parse(await readFile(join(golden, 'rows.json'), 'utf8'));
  test.each(['snappy', 'zstd', 'gzip'])('a file of pyarrow: %s', async (codec) => {
    const items = await obeysStreamLaws(parquet(join(golden, `${codec}.parquet`)));
    expect(items.map((row) => ({ ...row, image: [...(row['image'] as Uint8Array)] }))).toEqual(await rowsOf());
  });
  test('its groups of rows are parts for shuffle', async () => {
    const stream = parquet(join(golden, 'zstd.parquet'), { columns: ['label'] });
    const items = await obeysStreamLaws(pipe(stream, shuffle({ seed: 1, window: 1 })));
    const labels = items.map(({ label }) => label as number);
    expect(labels).not.toEqual([...labels].sort((a, b) => a - b));
    expect([...labels].sort((a, b) => a - b)).toEqual(Array.from({ length: 11 }, (_, i) => i));
    // Groups of four stay together.
    expect(labels.indexOf(1)).toBe(labels.indexOf(0) + 1);
  });
  test('what is no such file, or has no such column', async () => {
    expect(await failure('bad-data', parquet(file('no parquet file')))).toContain('memory/a.txt: ');
    expect(await failure('bad-data', parquet(join(golden, 'zstd.parquet'), { columns: ['lable'] }))).toMatch(
      /has no column lable; it has messages, label, score, source, image$/,
    );
  });
});

describe('gzip', () => {
  const lines = Array.from({ length: 30_000 }, (_, i) => `line ${i} ${Math.sin(i)}`);
  const packed = gzipSync(lines.join('\n'));
  test('lines of a compressed file, and from a cursor', async () => {
    const stream = textLines(await gunzip(file(packed, 'a.txt.gz')));
    const { items, cursors } = await readAll(stream);
    expect(items).toEqual(lines);
    expect((await readAll(stream, cursors[29_990])).items).toEqual(lines.slice(29_990));
  });
  test('it is one block for shuffle, and its rows keep their lines', async () => {
    const small = gzipSync(['{"a":1}', '{"a":2}', '{"a":3', '{"a":4}'].join('\n'));
    const stream = jsonl(await gunzip(file(small, 'a.jsonl.gz')));
    expect((await stream.parts!()).count).toBe(1);
    expect(await failure('bad-data', pipe(stream, shuffle({ seed: 0 })))).toContain('memory/a.jsonl.gz line 3');
  });
  test('what is cut short is refused, and the file is closed', async () => {
    const { files, path } = file(packed.subarray(0, packed.length - 100), 'a.txt.gz');
    let open = 0;
    const watched = {
      ...files,
      open: async (own: string) => {
        const made = await files.open(own);
        open++;
        return { ...made, close: async () => void (open--, await made.close()) };
      },
    };
    const stream = textLines(await gunzip({ files: watched, path }));
    expect(await failure('bad-data', stream)).toContain('memory/a.txt.gz: is not whole, or no gzip file');
    expect(open).toBe(0);
  });
});

describe('several files', () => {
  test('streams one after the other, in one order or another', async () => {
    const both = inSequence([fromArray([1, 2]), fromArray<number>([]), fromArray([3, 4, 5])]);
    expect(await obeysStreamLaws(both)).toEqual([1, 2, 3, 4, 5]);
    const mixed = await obeysStreamLaws(pipe(both, shuffle({ seed: 1 })));
    expect([...mixed].sort()).toEqual([1, 2, 3, 4, 5]);
    expect(mixed).not.toEqual([1, 2, 3, 4, 5]);
  });
  const files = memoryFiles(
    new Map<string, string | Uint8Array>([
      ['b.csv', 'n\n2'],
      ['a.jsonl', '{"n":1}'],
      ['more/c.json', '[{"n":3}]'],
      ['more/d.tsv', 'n\tm\n4\t5'],
      ['more/e.jsonl.gz', gzipSync('{"n":6}')],
      ['notes.doc', 'no data'],
      ['.cache/f.jsonl', '{"n":7}'],
    ]),
  );
  test('a folder, by the ends of names', async () => {
    expect(await itemsOf(await openRows(files))).toEqual([
      { n: 1 },
      { n: '2' },
      { n: 3 },
      { n: '4', m: '5' },
      { n: 6 },
    ]);
    expect(await itemsOf(await openRows(files, { pattern: 'more/*.json*' }))).toEqual([{ n: 3 }, { n: 6 }]);
    expect(
      await itemsOf(
        await openRows([
          { files, path: 'more/c.json' },
          { files, path: 'b.csv' },
        ]),
      ),
    ).toEqual([{ n: 3 }, { n: '2' }]);
  });
  test('a dataset on the hub, here in its cache: whole, a folder, a file, a pattern', async () => {
    const cache = await mkdtemp(join(tmpdir(), 'peftjs-data-'));
    const commit = 'd'.repeat(40);
    const snapshot = join(cache, 'datasets--org--rows', 'snapshots', commit);
    await mkdir(join(snapshot, 'more'), { recursive: true });
    await writeFile(join(snapshot, 'a.jsonl'), '{"n":1}\n');
    await writeFile(join(snapshot, 'more', 'b.jsonl'), '{"n":2}\n');
    vi.stubEnv('HF_HUB_CACHE', cache);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    try {
      const rows = async (path: string) => itemsOf(await openRows(`hub:datasets/org/rows@${commit}${path}`));
      expect(await rows('')).toEqual([{ n: 1 }, { n: 2 }]);
      expect(await rows('/more')).toEqual([{ n: 2 }]);
      expect(await rows('/a.jsonl')).toEqual([{ n: 1 }]);
      expect(await rows('/*.jsonl')).toEqual([{ n: 1 }]);
      await expect(openRows('hub:datasets/org/none')).rejects.toThrow(/hub:datasets\/org\/none: is not in the cache/);
    } finally {
      vi.unstubAllEnvs();
      await rm(cache, { recursive: true });
    }
  });

  test('a path on disk: a file, a pattern', async () => {
    expect(await itemsOf(await openRows(join(golden, 'rows.json')))).toHaveLength(11);
    expect(await itemsOf(await openRows(join(golden, '*z*.parquet')))).toHaveLength(22);
  });
  test('what is not there, or of no known kind', async () => {
    await expect(openRows(join(golden, 'none.json'))).rejects.toThrow(/none.json: there is no such file or folder/);
    await expect(openRows({ files, path: 'notes.doc' })).rejects.toThrow(
      /its name does not tell what it is; it may end with jsonl/,
    );
    await expect(openRows(files, { pattern: '*.xml' })).rejects.toThrow(
      /no file matches \*.xml; it has a.jsonl, b.csv/,
    );
  });
});
