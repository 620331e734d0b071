import { memoryFiles } from '@peftjs/io';
import { describe, expect, test } from 'vitest';
import { batch, columns, fromArray, jsonl, pipe, type Row, shuffle, tokenColumns } from '../src/index.ts';
import { failure, readAll } from './stream-laws.ts';

const ids = (...values: number[]): Row => ({ ids: Int32Array.from(values) });
const batches = async (rows: readonly unknown[], options: Parameters<typeof batch>[0]) =>
  (await readAll(pipe(fromArray(rows as Row[]), batch(options)))).items;

describe('batch', () => {
  test('puts columns of several rows in one array each', async () => {
    const rows = [1, 2, 3].map((i): Row => ({ ids: Int32Array.of(i, i), weights: Float32Array.of(i / 2) }));
    expect(await batches(rows, { size: 2 })).toEqual([
      {
        rows: 2,
        columns: { ids: Int32Array.of(1, 1, 2, 2), weights: Float32Array.of(0.5, 1) },
        shapes: { ids: [2, 2], weights: [2, 1] },
      },
      {
        rows: 1,
        columns: { ids: Int32Array.of(3, 3), weights: Float32Array.of(1.5) },
        shapes: { ids: [1, 2], weights: [1, 1] },
      },
    ]);
  });

  test('fills shorter rows up, to a multiple, with what is given', async () => {
    const rows: Row[] = [
      { ids: Int32Array.of(1), labels: Int32Array.of(2) },
      { ids: Int32Array.of(1, 2, 3), labels: Int32Array.of(2, 3, 4) },
    ];
    const [plain] = await batches(rows, { size: 2 });
    expect(plain!.columns).toEqual({
      ids: Int32Array.of(1, 0, 0, 1, 2, 3),
      labels: Int32Array.of(2, -100, -100, 2, 3, 4),
      mask: Float32Array.of(1, 0, 0, 1, 1, 1),
    });
    const [filled] = await batches(rows, { size: 2, pad: { ids: 7 }, multipleOf: 4 });
    expect(filled!.shapes).toEqual({ ids: [2, 4], labels: [2, 4], mask: [2, 4] });
    expect(filled!.columns['ids']).toEqual(Int32Array.of(1, 7, 7, 7, 1, 2, 3, 7));
  });

  test('says where rows end, unless they are as long, it is given or is not wanted', async () => {
    const rows = [ids(1, 2), ids(3)];
    const columnsOf = async (of: readonly Row[], options: { mask?: boolean }) =>
      (await batches(of, { size: 2, ...options }))[0]!.columns['mask'];
    expect(await columnsOf(rows, {})).toEqual(Float32Array.of(1, 1, 1, 0));
    expect(await columnsOf(rows, { mask: false })).toBeUndefined();
    expect(await columnsOf([ids(1), ids(2)], {})).toBeUndefined();
    expect(await columnsOf([ids(1), ids(2)], { mask: true })).toEqual(Float32Array.of(1, 1));
    const own = rows.map((row) => ({ ...row, mask: new Float32Array(row['ids']!.length).fill(0.5) }));
    expect(await columnsOf(own, {})).toEqual(Float32Array.of(0.5, 0.5, 0.5, 0));
    const [both] = await batches(
      [
        { ids: Int32Array.of(1), decoderIds: Int32Array.of(1, 2) },
        { ids: Int32Array.of(1), decoderIds: Int32Array.of(1) },
      ],
      { size: 2 },
    );
    expect(both!.columns['decoderMask']).toEqual(Float32Array.of(1, 1, 1, 0));
    expect(both!.columns['mask']).toBeUndefined();
  });

  test('gives single numbers and images their shapes', async () => {
    const rows = [0, 1].map((i) => ({ label: Int32Array.of(i), pixels: new Float32Array(12).fill(i) }));
    const [one] = await batches(rows, { size: 2, shapes: { label: [], pixels: [3, 2, 2] } });
    expect(one!.shapes).toEqual({ label: [2], pixels: [2, 3, 2, 2] });
    expect(one!.columns['label']).toEqual(Int32Array.of(0, 1));
  });

  test.each([
    ['an empty column', [ids(1), ids()], 'row 1: ids is empty'],
    [
      'rows of other columns',
      [ids(1), { ...ids(1), task: Int32Array.of(1) }],
      'row 1: has columns ids, task, the rows before it ids',
    ],
    [
      'arrays of other types',
      [ids(1), { ids: Float32Array.of(1) }],
      'row 1: ids is a Float32Array, in the rows before it a Int32Array',
    ],
    ['lists', [{ ids: [1, 2] }], 'row 0: ids is a list; batch takes rows of named columns'],
    ['arrays that no tensor holds', [{ ids: BigInt64Array.of(1n) }], 'row 0: ids is a BigInt64Array; batch takes rows'],
    [
      'doubles',
      [{ weights: new Float64Array(1) }],
      'weights is a Float64Array; batch takes rows of named columns, each',
    ],
    ['no rows', ['text'], 'row 0: is the text "text"; batch takes rows'],
    ['no columns', [{}], 'row 0: is an object; batch takes rows'],
    ['nothing', [null], 'row 0: is null; batch'],
    [
      'unlike lengths without a pad',
      [1, 2].map((n) => ({ weights: new Float32Array(n) })),
      'row 0: weights has 1 values, a row of this batch 2; give `pad: { weights: … }`',
    ],
  ])('refuses %s, with the place', async (_, rows, message) => {
    expect(await failure('bad-data', pipe(fromArray(rows as Row[]), batch({ size: 4 })))).toContain(message);
  });

  test('refuses to fill whole numbers up with a fraction', async () => {
    const rows = fromArray<Row>([1, 2].map((n) => ({ ids: new Int32Array(n) })));
    expect(await failure('bad-data', pipe(rows, batch({ size: 2, pad: { ids: 1.5 } })))).toBe(
      'row 0: ids is filled up with 1.5, and holds whole numbers',
    );
  });

  test('refuses what its shape does not fit, and tells each row’s place', async () => {
    const image = pipe(
      fromArray<Row>([{ pixels: new Float32Array(5) }]),
      batch({ size: 1, shapes: { pixels: [2, 2] } }),
    );
    expect(await failure('bad-data', image)).toContain('row 0: pixels has 5 values, its shape [2,2] has 4');
    const open = pipe(fromArray([ids(1), ids(2), ids(3)]), shuffle({ seed: 1 }), batch({ size: 3 })).open();
    const { value } = await open.next();
    const origin = open.origin!();
    expect(await Promise.all([0, 1, 2].map((row) => origin(row)))).toEqual(
      [...value!.columns['ids']!].map((id) => `row ${id - 1}`),
    );
  });
});

describe('columns', () => {
  const checked = (rules: Parameters<typeof columns>[0], lines: readonly unknown[]) =>
    pipe(
      jsonl({
        files: memoryFiles(new Map([['rows.jsonl', lines.map((v) => JSON.stringify(v)).join('\n')]])),
        path: 'rows.jsonl',
      }),
      columns(rules),
    );

  test('makes arrays of lists and of single numbers, other fields left out', async () => {
    const stream = checked({ ids: 'i32', weight: 'f32', kind: 'u8' }, [
      { ids: [1, 2], weight: 0.5, kind: 3, text: 'x' },
    ]);
    expect((await readAll(stream)).items).toEqual([
      { ids: Int32Array.of(1, 2), weight: Float32Array.of(0.5), kind: Uint8Array.of(3) },
    ]);
    const same = Int32Array.of(1);
    const [row] = (
      await readAll(pipe(fromArray([{ ids: same, labels: Int32Array.of(-100, 2) }]), columns(tokenColumns(5))))
    ).items;
    expect(row!['ids']).toBe(same);
  });

  const good = { ids: [1, 2], labels: [2, -100] };
  test.each([
    [
      'an id that the vocabulary lacks',
      { ids: [1, 5], labels: [1, 1] },
      'ids[1] is the number 5; it holds whole numbers from 0 to 4',
    ],
    ['a negative id', { ids: [-1], labels: [1] }, 'ids[0] is the number -1'],
    ['an id for padding', { ids: [-100], labels: [1] }, 'ids[0] is the number -100'],
    ['a fraction', { ids: [0.5], labels: [1] }, 'ids[0] is the number 0.5'],
    ['null', { ids: [null], labels: [1] }, 'ids[0] is null'],
    ['a text', { ids: 'abc', labels: [1] }, 'ids is the text "abc"; give a list of numbers or Int32Array'],
    ['a text in a list', { ids: ['1'], labels: [1] }, 'ids[0] is the text "1"'],
    ['a column that is missing', { ids: [1] }, 'labels is nothing'],
    ['an empty row', { ids: [], labels: [] }, 'ids is empty'],
    [
      'no label at all',
      { ids: [1, 2], labels: [-100, -100] },
      'labels holds nothing but -100, so there is nothing to learn',
    ],
    [
      'a label beyond the vocabulary',
      { ids: [1], labels: [5] },
      'labels[0] is the number 5; it holds whole numbers from 0 to 4, or -100',
    ],
    ['a label below it', { ids: [1], labels: [-1] }, 'labels[0] is the number -1'],
    ['a list', [1, 2], 'ids is nothing'],
    ['a number', 7, 'is the number 7 where an object with ids, labels is expected'],
  ])('refuses %s, with file and line', async (_, value, message) => {
    const said = await failure('bad-data', checked(tokenColumns(5), [good, good, value]));
    expect(said.slice(0, 26 + message.length)).toBe(`memory/rows.jsonl line 3: ${message}`);
  });

  test.each([
    ['i32', 2 ** 31],
    ['u32', -1],
    ['u8', 256],
  ] as const)('refuses a number that %s can’t hold', async (dtype, value) => {
    expect(await failure('bad-data', checked({ x: dtype }, [{ x: value }]))).toContain(`x[0] is the number ${value}`);
  });

  test('refuses NaN and infinity in an array', async () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      expect(
        await failure('bad-data', pipe(fromArray([{ x: Float32Array.of(value) }]), columns({ x: 'f32' }))),
      ).toContain(`x[0] is the number ${value}`);
  });
});
