import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadChat, loadTokenizer, memoryFiles, type Tokenizer } from '@peftjs/io';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import {
  atMost,
  batch,
  chat,
  completionRows,
  fromArray,
  ignored,
  type LabelItem,
  labelRows,
  type Misfit,
  pipe,
  questionRows,
  type Row,
  tagRows,
  targetRows,
  textRows,
  wholeTurns,
} from '../src/index.ts';
import { failure, obeysStreamLaws, readAll } from './stream-laws.ts';

/** What Python's libraries make of the same: tools/golden/make_data.py. */
interface Golden {
  readonly tokenizer: Readonly<Record<string, unknown>>;
  readonly pairs: readonly { readonly processor: unknown; readonly ids: number[]; readonly types: number[] }[];
  readonly tags: {
    readonly tokens: string[];
    readonly tags: number[];
    readonly ids: number[];
    readonly labels: number[];
  };
  readonly questions: {
    readonly question: string;
    readonly context: string;
    readonly answer: string;
    readonly at: number;
    readonly rows: readonly {
      readonly ids: number[];
      readonly types: number[];
      readonly start: number;
      readonly end: number;
    }[];
  };
  readonly completions: readonly {
    readonly prompt: string;
    readonly completion: string;
    readonly ids: number[];
    readonly before: number;
  }[];
}

const folder = join(import.meta.dirname, '../../../tools/golden/data/data');
const golden = JSON.parse(await readFile(join(folder, 'rows-of-python.json'), 'utf8')) as Golden;
const tokenizerOf = (changes: Readonly<Record<string, unknown>>): Promise<Tokenizer> =>
  loadTokenizer(memoryFiles(new Map([['tokenizer.json', JSON.stringify({ ...golden.tokenizer, ...changes })]])));
const bert = await tokenizerOf({});
const base = join(import.meta.dirname, '../../base-model/model');
const tokenizer = await loadTokenizer(base);
const listed = (row: Row): Record<string, number[]> =>
  Object.fromEntries(Object.entries(row).map(([name, column]) => [name, [...column]]));

test('two texts are joined as Python joins them, by every kind of post-processor', async () => {
  for (const { processor, ids, types } of golden.pairs) {
    const own = await tokenizerOf({ post_processor: processor });
    const of = (text: string) => own.encode(text, { special: false });
    const made = own.pair(of('Who hunts it?'), of('the whale'));
    expect([[...made.ids], [...made.types]]).toEqual([ids, types]);
    expect([...made.ids.slice(made.starts[1], made.starts[1] + of('the whale').length)]).toEqual([...of('the whale')]);
  }
  const odd = { type: 'TemplateProcessing', single: [{ Sequence: { id: 'A' } }], pair: [], special_tokens: {} };
  const none = await tokenizerOf({ post_processor: odd });
  expect(await messageOf('bad-tokenizer', () => none.pair([1], [2]))).toContain(
    'does not say how two texts are joined',
  );
});

describe('prompts and completions', () => {
  test('of texts have the tokens and the mask of TRL', async () => {
    const rows = await obeysStreamLaws(pipe(fromArray(golden.completions), completionRows(tokenizer)));
    for (const [i, { ids, before }] of golden.completions.entries()) {
      expect([...rows[i]!.ids]).toEqual(ids.slice(0, -1));
      expect([...rows[i]!.labels]).toEqual(ids.slice(1).map((id, t) => (t + 1 >= before ? id : ignored)));
    }
  });
  test('all is learnt, and no end is put there, where asked for', async () => {
    const [item] = golden.completions;
    const [row] = (await readAll(pipe(fromArray([item!]), completionRows(tokenizer, { learn: 'all', end: false }))))
      .items;
    expect([...row!.labels]).toEqual(item!.ids.slice(1, -1));
  });
  const template = `{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}`;
  const user = (content: string) => ({ role: 'user', content });
  const assistant = (content: string) => ({ role: 'assistant', content });
  test('of messages begin to be learnt after the opening of the turn', async () => {
    const made = await loadChat(base, { template });
    const prompt = [user('Who hunts it?'), assistant('Ahab.'), user('Why?')];
    const item = { prompt, completion: [assistant('Nobody knows.'), user('Oh.')] };
    const [row] = (await readAll(pipe(fromArray([item]), completionRows(made)))).items;
    const said = (labels: Int32Array) => tokenizer.decode(labels.filter((label) => label !== ignored)).trim();
    expect(said(row!.labels)).toBe('Nobody knows.\nuser: Oh.');
    const [own] = (await readAll(pipe(fromArray([item]), completionRows(made, { learn: 'assistant' })))).items;
    expect(said(own!.labels)).toBe('Nobody knows.');
    expect(await failure('bad-option', pipe(fromArray([item]), completionRows(tokenizer)))).toContain(
      'give `await loadChat(dir)`',
    );
    const mixed = pipe(fromArray([{ prompt: 'a', completion: [user('b')] }]), completionRows(made));
    expect(await failure('bad-data', mixed)).toContain('row 0: has the text "a" as prompt and a list as completion');
  });
  test('of a conversation what is said last is learnt', async () => {
    const made = await loadChat(base, { template });
    const messages = [user('a'), assistant('Ahab.'), user('Why?'), assistant('Nobody knows.'), user('Oh.')];
    const [row] = (await readAll(pipe(fromArray([messages]), chat(made, { learn: 'last' })))).items;
    expect(tokenizer.decode(row!.labels.filter((label) => label !== ignored)).trim()).toBe('Nobody knows.');
  });
  test('old turns go as wholes, the system text stays', async () => {
    const made = await loadChat(base, { template });
    const messages = [
      { role: 'system', content: 'Be kind.' },
      user('a'),
      assistant('one two three'),
      user('b'),
      assistant('four'),
    ];
    const cuts: unknown[] = [];
    const short = (context: number) =>
      pipe(fromArray([{ messages }]), wholeTurns(made, { context, onLong: (cut) => cuts.push(cut) }));
    const all = made.encode(messages).length - 1;
    expect((await readAll(short(all))).items).toEqual([{ messages }]);
    expect(cuts).toEqual([]);
    expect((await readAll(short(all - 1))).items).toEqual([{ messages: [messages[0], ...messages.slice(3)] }]);
    expect(cuts).toEqual([{ messages: 5, left: 3 }]);
    expect(await failure('bad-data', short(3))).toMatch(
      /^row 0: has \d+ tokens in its last turn alone, and 3 are allowed/,
    );
  });
});

test('texts end with the token that ends texts', async () => {
  const [row] = await obeysStreamLaws(pipe(fromArray([{ text: 'Ahab hunts.' }]), textRows(tokenizer)));
  expect([...row!.ids, row!.labels.at(-1)]).toEqual([...tokenizer.encode('Ahab hunts.'), tokenizer.eosId]);
  const eosless = { encode: tokenizer.encode, eosId: undefined };
  expect(await failure('bad-option', pipe(fromArray([{ text: 'a b' }]), textRows(eosless)))).toContain(
    'give end: false',
  );
});

describe('rows that are too long', () => {
  const rows = [5, 3, 6].map((n) => ({
    ids: Int32Array.from({ length: n }, (_, i) => i),
    labels: Int32Array.from({ length: n }, (_, i) => (i < 2 ? i + 1 : ignored)),
  }));
  const fitted = async (long: 'cut-end' | 'cut-start' | 'leave-out') => {
    const told: Misfit[] = [];
    const stage = atMost<(typeof rows)[number]>({ context: 4, long, onLong: (row) => told.push(row) });
    return { items: (await readAll(pipe(fromArray(rows), stage))).items.map(listed), told };
  };
  test('are refused, cut or left out, and somebody is told', async () => {
    expect(await failure('bad-data', pipe(fromArray(rows), atMost({ context: 4 })))).toBe(
      'row 0: has 5 tokens, and 4 are allowed; shorten it, allow more, or have `atMost` cut it',
    );
    expect(await fitted('cut-end')).toEqual({
      items: [
        { ids: [0, 1, 2, 3], labels: [1, 2, ignored, ignored] },
        listed(rows[1]!),
        { ids: [0, 1, 2, 3], labels: [1, 2, ignored, ignored] },
      ],
      told: [5, 6].map((tokens) => ({ tokens, context: 4, isLeftOut: false })),
    });
    // What was to be learnt of the last row lies in what is cut off.
    expect(await fitted('cut-start')).toEqual({
      items: [{ ids: [1, 2, 3, 4], labels: [2, ignored, ignored, ignored] }, listed(rows[1]!)],
      told: [
        { tokens: 5, context: 4, isLeftOut: false },
        { tokens: 6, context: 4, isLeftOut: true },
      ],
    });
    expect((await fitted('leave-out')).items).toEqual([listed(rows[1]!)]);
    expect(await messageOf('bad-option', () => atMost({ context: 4, long: 'cut-end' }))).toContain(
      'onLong must be given',
    );
  });
});

describe('labels', () => {
  const rowOf = async (item: LabelItem, options: Parameters<typeof labelRows>[1]) =>
    listed((await readAll(pipe(fromArray([item]), labelRows(bert, options)))).items[0]!);
  const labels = ['bad', 'good', 'odd'];
  test('are classes, several of them, or numbers', async () => {
    expect(await rowOf({ text: 'the whale', label: 'odd' }, { labels })).toEqual({
      ids: [...bert.encode('the whale')],
      labels: [2],
    });
    expect((await rowOf({ text: 'a', label: 1 }, { labels }))['labels']).toEqual([1]);
    const several = { labels, problem: 'multi-label' } as const;
    expect((await rowOf({ text: 'a', label: ['odd', 'bad'] }, several))['labels']).toEqual([1, 0, 1]);
    expect((await rowOf({ text: 'a', label: [0, 2] }, several))['labels']).toEqual([1, 0, 1]);
    expect((await rowOf({ text: 'a', label: [0, 1, 1] }, several))['labels']).toEqual([0, 1, 1]);
    expect((await rowOf({ text: 'a', label: '-1.5' }, { problem: 'regression' }))['labels']).toEqual([-1.5]);
  });
  test('of two texts have the kinds of their tokens', async () => {
    const [{ ids, types }] = golden.pairs as [Golden['pairs'][number]];
    const item = { text: 'Who hunts it?', pair: 'the whale', label: 0 };
    expect(await rowOf(item, { labels })).toEqual({ ids, labels: [0], tokenTypes: types });
    const stream = pipe(
      fromArray([item, item]),
      labelRows(bert, { labels }),
      batch({ size: 2, shapes: { labels: [] } }),
    );
    expect((await readAll(stream)).items[0]!.shapes['labels']).toEqual([2]);
  });
  test.each<[LabelItem['label'], Parameters<typeof labelRows>[1], string]>([
    ['fine', { labels }, 'row 0: is of the class the text "fine"; the 3 classes are bad, good, odd'],
    [3, { labels }, 'row 0: is of the class the number 3'],
    [['bad', 'odd'], { labels }, "row 0: has 2 labels where a text has one; give problem: 'multi-label'"],
    [
      [0, 1],
      { labels: ['a', 'b'], problem: 'multi-label' },
      'which may be two classes by their numbers or a flag for each',
    ],
    ['much', { problem: 'regression' }, 'has the text "much" as label where a number is to be estimated'],
  ])('%j is refused', async (label, options, message) => {
    expect(await failure('bad-data', pipe(fromArray([{ text: 'a', label }]), labelRows(bert, options)))).toContain(
      message,
    );
  });
});

test('tags stand at the first token of each word, as in transformers', async () => {
  const { tokens, tags, ids, labels } = golden.tags;
  const names = ['O', 'PER', 'ANIMAL', 'PLACE', 'YEAR'];
  const items = [
    { tokens, tags },
    { tokens, tags: tags.map((tag) => names[tag]!) },
  ];
  const rows = await obeysStreamLaws(pipe(fromArray(items), tagRows(bert, { labels: names })));
  expect(rows.map(listed)).toEqual([
    { ids, labels },
    { ids, labels },
  ]);
  // Of a tokenizer of bytes, whose tokens begin with the space before a word; and a word that is none.
  const odd = { tokens: ['', 'Ahab', 'hunts'], tags: ['YEAR', 'PER', 'O'] };
  const [row] = (await readAll(pipe(fromArray([odd]), tagRows(tokenizer, { labels: names })))).items;
  const at = [...row!['labels']!].flatMap((label, t) =>
    label === ignored ? [] : [[label, tokenizer.decode(row!['ids']!.slice(t, t + 1))]],
  );
  expect(at.map(([label]) => label)).toEqual([1, 0]);
  expect(at[1]![1]).toMatch(/^ h/);
});

test('questions about a longer text are windows with the places of their answer, as in transformers', async () => {
  const { question, context, answer, at, rows } = golden.questions;
  const item = { question, context, answers: [{ text: answer, start: at }] };
  const made = await obeysStreamLaws(pipe(fromArray([item]), questionRows(bert, { context: 32, stride: 8 })));
  expect(made.map(listed)).toEqual(
    rows.map(({ ids, types, start, end }) => ({
      ids,
      startPositions: [start],
      endPositions: [end],
      tokenTypes: types,
    })),
  );
  const [none] = (await readAll(pipe(fromArray([{ ...item, answers: [] }]), questionRows(bert)))).items;
  expect([none!['startPositions'], none!['endPositions']].map((column) => [...column!])).toEqual([[0], [0]]);
  expect(await failure('bad-data', pipe(fromArray([item]), questionRows(bert, { context: 15, stride: 8 })))).toContain(
    'row 0: has 4 tokens in its question, which leaves 8 of 15 for the text',
  );
});

test('sources and targets have the tokens around a text', async () => {
  const [row] = await obeysStreamLaws(
    pipe(fromArray([{ source: 'Who hunts it?', target: 'the whale' }]), targetRows(bert)),
  );
  expect(listed(row!)).toEqual({ ids: [...bert.encode('Who hunts it?')], labels: [...bert.encode('the whale')] });
});
