import { join } from 'node:path';
import { loadTokenizer, memoryFiles } from '@peftjs/io';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  batch,
  filter,
  flatMap,
  fromArray,
  jsonl,
  map,
  opened,
  pack,
  packTokens,
  pipe,
  type Row,
  repeat,
  type Stage,
  type Stream,
  shard,
  shuffle,
  temperatureWeights,
  text,
  textLines,
  tokenize,
} from '../src/index.ts';
import { failure, obeysStreamLaws, readAll } from './stream-laws.ts';
import { watchedFiles } from './watched-files.ts';

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const file = (content: string) => ({ files: memoryFiles(new Map([['data.txt', content]])), path: 'data.txt' });
const lines = (n: number): string =>
  numbers(n)
    .map((i) => `line ${i} ${'ü'.repeat(i % 7)}`)
    .join('\n');

/** One id for each UTF-16 unit. */
const tokenizer = { encode: (s: string) => Int32Array.from(s, (c) => c.charCodeAt(0)) };
const tokens = tokenize(tokenizer);

/** A stream as a third party may write it: no origin, no parts. */
const plain = (n: number): Stream<number> => ({
  open: (at) => {
    let i = (at?.['i'] as number) ?? 0;
    return opened({
      next: async () => (i < n ? { done: false, value: i++ } : { done: true, value: undefined }),
      cursor: () => ({ i }),
    });
  },
});
const toRow = map((i: number): Row => ({ ids: Int32Array.from(numbers((i % 4) + 1), () => i) }));

const streams: readonly (readonly [name: string, make: () => Stream<unknown>, most?: number])[] = [
  ['an array', () => fromArray(numbers(7))],
  ['nothing', () => fromArray([])],
  ['a stream of a third party', () => plain(5)],
  ['lines', () => textLines(file(lines(20)))],
  ['lines that end with a line', () => textLines(file(`${lines(5)}\n`))],
  ['lines of Windows, empty ones between', () => textLines(file('\ufeffa\r\n\r\nb\r\n\n\nc'))],
  ['documents', () => text(file('one\ntwo\n\nthree\n\n\n\nfour\n'))],
  ['documents with a word between', () => text(file('one<|end|>two<|end|><|end|>three'), { separator: '<|end|>' })],
  ['JSON lines', () => jsonl(file('{"a":1}\n[2]\n\n"three"\nnull\n'))],
  [
    'map',
    () =>
      pipe(
        fromArray(numbers(6)),
        map((i) => ({ i })),
      ),
  ],
  [
    'filter',
    () =>
      pipe(
        fromArray(numbers(10)),
        filter((i) => i % 3 === 1),
      ),
  ],
  [
    'flatMap',
    () =>
      pipe(
        fromArray(numbers(6)),
        flatMap((i) => numbers(i % 4)),
      ),
  ],
  ['shuffle of an array', () => pipe(fromArray(numbers(12)), shuffle({ seed: 3 }))],
  ['shuffle in windows', () => pipe(plain(23), shuffle({ seed: 3, window: 5 }))],
  [
    'shuffle of parts in windows',
    () => pipe(textLines(file(lines(40)), { block: 64 }), shuffle({ seed: 1, window: 6 })),
  ],
  [
    'shuffle of mapped parts',
    () =>
      pipe(
        jsonl(file(numbers(60).join('\n')), { block: 16 }),
        flatMap((i) => numbers((i as number) % 3)),
        filter((i) => i > 0),
        map(String),
        shuffle({ seed: 1, window: 4 }),
      ),
  ],
  ['repeat', () => pipe(fromArray(numbers(4)), repeat(3))],
  ['repeat without end', () => pipe(fromArray(numbers(4)), shuffle({ seed: 0 }), repeat()), 18],
  ['shard', () => pipe(fromArray(numbers(11)), shard({ rank: 1, size: 3 }))],
  ['tokenize', () => pipe(textLines(file(lines(5))), tokens)],
  ['pack', () => pipe(textLines(file(lines(9))), tokens, pack({ context: 7, endOfText: 1 }))],
  [
    'pack, the rest kept',
    () => pipe(textLines(file(lines(9))), tokens, pack({ context: 7, endOfText: 1, keepRest: true })),
  ],
  [
    'pack of rows with labels',
    () =>
      pipe(
        fromArray(numbers(9)),
        map((i): Row => ({ ids: new Int32Array(i).fill(i), labels: new Int32Array(i).fill(-100) })),
        pack({ context: 5, endOfText: 1 }),
      ),
  ],
  ['batch', () => pipe(fromArray(numbers(10)), toRow, batch({ size: 3, multipleOf: 4 }))],
  [
    'all of them',
    () =>
      pipe(
        textLines(file(lines(50)), { block: 128 }),
        tokens,
        shuffle({ seed: 5, window: 8 }),
        shard({ rank: 1, size: 2 }),
        pack({ context: 16, endOfText: 0 }),
        repeat(),
        batch({ size: 4 }),
      ),
    30,
  ],
];

describe.each(streams.map(([name, make, most]) => ({ name, make, most })))('$name', ({ name, make, most }) => {
  test('can be read again and resumed at every cursor, sent through JSON', async () => {
    await obeysStreamLaws(make(), most);
  });

  test('refuses cursors that are of another stream', async () => {
    const stream = make();
    if (name.includes('third party')) return;
    for (const cursor of [{}, { stage: 'other' }, { stage: 'shuffle', seed: 99 }, [] as never, 7 as never])
      await failure('state-mismatch', { open: () => stream.open(cursor) });
    const { cursors } = await readAll(stream, undefined, 3);
    const spoilt = JSON.stringify(cursors.at(-1)).replaceAll(/(?<=:)\d+/g, '-1');
    await failure('state-mismatch', { open: () => stream.open(JSON.parse(spoilt)) });
  });
});

describe('sources', () => {
  test('lines are those of the file, without their ends', async () => {
    expect((await readAll(textLines(file('\ufeffa\r\n\r\nb \n\n c')))).items).toEqual(['a', 'b ', ' c']);
    expect((await readAll(text(file('one\ntwo\n\nthree\n\n\n\nfour\n')))).items).toEqual([
      'one\ntwo',
      'three',
      'four\n',
    ]);
    expect((await readAll(text(file('aXYbXcYXYXY'), { separator: 'XY' }))).items).toEqual(['a', 'bXcY']);
    expect((await readAll(jsonl(file('{"a":1}\n[2]\n')))).items).toEqual([{ a: 1 }, [2]]);
    expect((await readAll(textLines(file('')))).items).toEqual([]);
  });

  test('records longer than what is read at once come whole', async () => {
    const long = numbers(3).map((i) => `${i}`.repeat(700_000));
    expect((await readAll(textLines(file(long.join('\n'))))).items).toEqual(long);
  });

  test('parts hold every record once, whatever their size and separator', async () => {
    const separator = fc.constantFrom('\n', '<|e|>', 'ab', '\n\n#');
    const content = fc.array(
      fc.oneof(fc.stringMatching(/^[ab<|e>#\n ]{0,6}$/), fc.string({ unit: 'grapheme', maxLength: 5 })),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(content, separator, fc.integer({ min: 1, max: 12 }), async (documents, mark, block) => {
        const stream = text(file(documents.join(mark).replace(/^\ufeff/, '')), { separator: mark, block });
        const { items } = await readAll(stream);
        const parts = await stream.parts!();
        const found: string[] = [];
        for (let i = 0; i < parts.count; i++) found.push(...(await readAll({ open: (at) => parts.open(i, at) })).items);
        expect(found).toEqual(items);
        expect(items).toEqual(
          documents
            .join(mark)
            .replace(/^\ufeff/, '')
            .split(mark)
            .filter((s) => s.trim() !== ''),
        );
      }),
      { numRuns: 500 },
    );
  });

  test('a separator that overlaps itself has no parts, since where one is depends on the start', () => {
    expect(text(file('')).parts).toBeUndefined();
    expect(text(file(''), { separator: 'aba' }).parts).toBeUndefined();
    expect(text(file(''), { separator: 'abc' }).parts).toBeDefined();
  });

  test('what is wrong with a line says which, also after resuming and in another order', async () => {
    const bad = `${lines(1000)}\n{\n1`;
    const name = 'memory/data.txt line 1001: is not JSON';
    const good = map((s: string) => (s.startsWith('line') ? s : JSON.parse(s)));
    expect(await failure('bad-data', pipe(textLines(file(bad)), good))).toContain('memory/data.txt line 1001: ');
    const json = numbers(1000).join('\n');
    expect(await failure('bad-data', jsonl(file(`${json}\n{\n1`)))).toContain(name);
    const { cursors } = await readAll(jsonl(file(`${json}\n{\n1`)), undefined, 900);
    expect(await failure('bad-data', jsonl(file(`${json}\n{\n1`)), cursors.at(-1))).toContain(name);
    expect(
      await failure('bad-data', pipe(jsonl(file(`${json}\n{\n1`), { block: 64 }), shuffle({ seed: 2 }))),
    ).toContain(name);
  });

  test('what is not UTF-8, too long or not there is an error with its place', async () => {
    const files = memoryFiles(new Map([['x', Uint8Array.of(97, 10, 255, 10, 98)]]));
    expect(await failure('bad-data', textLines({ files, path: 'x' }))).toContain('memory/x line 2: it is not UTF-8');
    expect(await failure('bad-data', text(file('x'.repeat(600_000)), { longest: 1000 }))).toMatch(
      /data.txt line 1: no separator comes within 1000 bytes/,
    );
    await failure('file-missing', textLines({ files, path: 'none' }));
  });

  test('a file that has changed since is told', async () => {
    const { cursors } = await readAll(textLines(file(lines(5))), undefined, 2);
    expect(await failure('state-mismatch', textLines(file(lines(6))), cursors.at(-1))).toContain('size');
    const stages = (content: string) =>
      pipe(
        textLines(file(content), { block: 64 }),
        tokens,
        shuffle({ seed: 1, window: 4 }),
        pack({ context: 4, endOfText: 0 }),
        repeat(),
        batch({ size: 2 }),
      );
    // Every cursor after the first item names the file, also where the window or the document begins with it.
    const kept = await readAll(stages(lines(5)), undefined, 6);
    for (const cursor of kept.cursors.slice(1)) await failure('state-mismatch', stages(lines(6)), cursor);
    const array = await readAll(fromArray(numbers(5)), undefined, 2);
    await failure('state-mismatch', { open: () => fromArray(numbers(6)).open(array.cursors.at(-1)) });
  });

  test('files are closed at the end, on an error, and when reading is given up', async () => {
    const files = watchedFiles(new Map([['x', `${lines(3000)}\n{`]]));
    const stream = textLines({ files, path: 'x' }, { block: 1000 });
    await readAll(stream);
    await failure(
      'bad-data',
      pipe(
        stream,
        map((s) => JSON.parse(s)),
      ),
    );
    await readAll(
      pipe(stream, shuffle({ seed: 1, window: 10 }), tokens, pack({ context: 5, endOfText: 0 }), batch({ size: 2 })),
      undefined,
      3,
    );
    for await (const _ of stream.open()) break;
    expect(files.open_).toBe(0);
  });
});

describe('resuming', () => {
  const content = numbers(40_000)
    .map((i) => JSON.stringify({ text: `document ${i} ${'x'.repeat(i % 90)}` }))
    .join('\n');
  const stages: Stage<unknown, unknown> = (input) =>
    pipe(input, tokens, pack({ context: 64, endOfText: 0 }), batch({ size: 8 }));

  test('in order reads nothing of what lies before the cursor', async () => {
    const files = watchedFiles(new Map([['x', content]]));
    const stream = stages(jsonl({ files, path: 'x' }));
    const { cursors } = await readAll(stream, undefined, 3500);
    const at = /"at":(\d+)/.exec(JSON.stringify(cursors.at(-1)))![1]!;
    expect(Number(at)).toBeGreaterThan(1_500_000);
    files.reads.length = 0;
    const [here] = (await readAll(stream, cursors.at(-1), 1)).items;
    expect(Math.min(...files.reads.map((r) => r.at))).toBeGreaterThanOrEqual(Number(at));
    expect(files.reads.reduce((n, r) => n + r.length, 0)).toBeLessThanOrEqual(2 ** 18);
    expect(here).toEqual((await readAll(stream, undefined, 3501)).items[3500]);
  });

  test('shuffled reads one window and the blocks that it lies in', async () => {
    const files = watchedFiles(new Map([['x', content]]));
    const window = 500;
    const stream = pipe(jsonl({ files, path: 'x' }, { block: 2 ** 14 }), shuffle({ seed: 4, window }), stages);
    const { cursors } = await readAll(stream, undefined, 3500);
    files.reads.length = 0;
    const [here] = (await readAll(stream, cursors.at(-1), 1)).items;
    // 500 documents of 70 bytes lie in three or four blocks; each is read with what comes after it up to 2^18 bytes.
    expect(files.reads.length).toBeLessThanOrEqual(6);
    expect(here).toEqual((await readAll(stream, undefined, 3501)).items[3500]);
  });
});

describe('shuffle', () => {
  test('is a permutation of all, in another order for each seed and epoch', async () => {
    const order = async (seed: number): Promise<readonly number[]> =>
      (await readAll(pipe(fromArray(numbers(200)), shuffle({ seed }), repeat(2)))).items;
    const [first, again, other] = [await order(1), await order(1), await order(2)];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    for (const epoch of [first.slice(0, 200), first.slice(200)])
      expect(epoch.toSorted((a, b) => a - b)).toEqual(numbers(200));
    expect(first.slice(200)).not.toEqual(first.slice(0, 200));
  });

  test('of a file mixes its end into its start, with a window far smaller than the file', async () => {
    const stream = pipe(jsonl(file(numbers(20_000).join('\n')), { block: 1024 }), shuffle({ seed: 1, window: 1000 }));
    const { items } = await readAll(stream);
    expect((items as number[]).toSorted((a, b) => a - b)).toEqual(numbers(20_000));
    // Of items in a random order a third of the first thousand lie in each third of the file.
    const early = (items as number[]).slice(0, 1000);
    for (const third of [0, 1, 2])
      expect(early.filter((i) => Math.floor(i / 6667) === third).length).toBeGreaterThan(150);
  });
});

describe('shard', () => {
  test('gives every rank as many, and each item to one', async () => {
    const all = await Promise.all(
      [0, 1, 2].map(async (rank) => (await readAll(pipe(fromArray(numbers(11)), shard({ rank, size: 3 })))).items),
    );
    expect(all).toEqual([
      [0, 3, 6],
      [1, 4, 7],
      [2, 5, 8],
    ]);
  });

  test('has cursors that are those of all ranks', async () => {
    const of = (rank: number) => pipe(fromArray(numbers(30)), shuffle({ seed: 1 }), shard({ rank, size: 3 }));
    const [zero, two] = [await readAll(of(0), undefined, 4), await readAll(of(2))];
    expect((await readAll(of(2), zero.cursors.at(-1))).items).toEqual(two.items.slice(4));
  });
});

test('flatMap, filter and map say which item an error is about', async () => {
  const fails = (i: number): never => {
    throw new TypeError(`no ${i}`);
  };
  for (const stage of [map(fails), filter(fails), flatMap(fails)] as Stage<number, unknown>[]) {
    expect(await failure('bad-data', pipe(fromArray([5, 6]), stage))).toBe('row 0: no 5');
    expect(
      await failure(
        'bad-data',
        pipe(
          plain(3),
          filter((i) => i > 1),
          stage,
        ),
      ),
    ).toBe('item 2: no 2');
  }
});

test('nothing to repeat is an error, not a loop without end', async () => {
  expect(await failure('bad-data', pipe(fromArray([]), repeat()))).toContain('the data is empty');
  expect(
    await failure(
      'bad-data',
      pipe(
        fromArray(numbers(5)),
        filter(() => false),
        repeat(),
      ),
    ),
  ).toContain('empty');
});

test('options that make no sense are refused when the stage is made', () => {
  for (const make of [
    () => repeat(0),
    () => repeat(1.5),
    () => shard({ rank: 3, size: 3 }),
    () => shard({ rank: 0, size: 0 }),
    () => shuffle({ seed: 0.5 }),
    () => shuffle({ seed: 0, window: 0 }),
    () => batch({ size: 0 }),
    () => batch({ size: 1, multipleOf: Number.NaN }),
    () => pack({ context: 0, endOfText: 0 }),
    () => pack({ context: 4, endOfText: -1 }),
    () => text('x', { separator: '' }),
    () => text('x', { longest: -1 }),
    () => batch({ size: 1, pad: { ids: Number.NaN } }),
    () => batch({ size: 1, shapes: { ids: 2 as never } }),
    () => batch({} as never),
    // Names that there are not: a slip of the pen must not train on something else.
    () => batch({ size: 1, sizes: 3 } as never),
    () => shuffle({ seed: 0, windows: 3 } as never),
    () => pack({ context: 4, endOfText: 0, overlap: 2 } as never),
    () => packTokens([[1, 2, 3]], { context: 2, endOfText: 0, rest: true } as never),
    () => tokenize({ encode: () => Int32Array.of(1) }, { filed: 'words' } as never),
    () => shard({ rank: 0, size: 2, ranks: 3 } as never),
    () => text('x', { seperator: '\n' } as never),
  ])
    expect(make).toThrow(expect.objectContaining({ code: 'bad-option' }));
});

describe('tokenize', () => {
  test('takes texts, and objects with one, with a tokenizer of a model', async () => {
    const tokenizer = await loadTokenizer(join(import.meta.dirname, '../../base-model/model'));
    const ids = tokenizer.encode('Call me Ishmael.');
    const rows = async (items: readonly unknown[], options?: Parameters<typeof tokenize>[1]) =>
      (await readAll(pipe(fromArray(items), tokenize(tokenizer, options)))).items;
    expect(await rows(['Call me Ishmael.', { text: 'Call me Ishmael.', other: 1 }])).toEqual([{ ids }, { ids }]);
    expect(await rows([{ words: 'Call me Ishmael.' }], { field: 'words', special: false })).toEqual([
      { ids: tokenizer.encode('Call me Ishmael.', { special: false }) },
    ]);
  });

  test('says where there is no text', async () => {
    const json = (line: string) => pipe(jsonl(file(`{"text":"a"}\n${line}`)), tokens);
    expect(await failure('bad-data', json('{"txt":"a"}'))).toContain(
      'data.txt line 2: has nothing as text where a text',
    );
    expect(await failure('bad-data', json('{"text":7}'))).toContain('line 2: has the number 7 as text');
    expect(await failure('bad-data', json('null'))).toContain('line 2: is null where a text');
    expect(await failure('bad-data', json('5'))).toContain('line 2: is the number 5');
  });
});

describe('temperatureWeights', () => {
  test('are by size at temperature 1, even at a large one, and take sets beyond the limit for such of its size', () => {
    const near = (values: readonly number[]) => values.map((v) => expect.closeTo(v, 6));
    expect(temperatureWeights([100, 300])).toEqual(near([0.25, 0.75]));
    expect(temperatureWeights([100, 10_000], { temperature: 2 })).toEqual(near([10 / 110, 100 / 110]));
    expect(temperatureWeights([100, 300], { temperature: 1e9 })).toEqual(near([0.5, 0.5]));
    expect(temperatureWeights([100, 300, 1e300], { limit: 200, temperature: 0.001 })).toEqual(near([0, 0.5, 0.5]));
    expect(() => temperatureWeights([3, 0])).toThrow('sizes are numbers above 0, one at least, got [3,0]');
    expect(() => temperatureWeights([1], { temperature: 0 })).toThrow('temperatureWeights: temperature');
  });
});
