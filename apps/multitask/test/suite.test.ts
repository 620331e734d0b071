import { baseModelDir } from '@peftjs/base-model';
import { ignored } from '@peftjs/data';
import { loadTokenizer } from '@peftjs/io';
import { expect, test } from 'vitest';
import { batchOf, context, rowOf } from '../src/suite/rows.ts';
import { makeSuite } from '../src/suite/tasks.ts';
import { authors, bookOf } from '../src/suite/texts.ts';

const sizes = { train: 24, test: 12 };
const suite = makeSuite(sizes);
const all = [...suite.tasks, suite.leftOut];
const tokenizer = await loadTokenizer(baseModelDir());

test('the suite is the same in every run, of as many examples as were asked for', () => {
  expect(makeSuite(sizes)).toEqual(suite);
  expect(all.map(({ train, test: own }) => [train.length, own.length])).toEqual([
    ...suite.tasks.map(() => [24, 12]),
    [32, 12],
  ]);
});

test('no text is in two splits, and passages are of parts that are held out', () => {
  for (const { train, test: own } of all) {
    const seen = new Set(train.map(({ text }) => text));
    expect(own.filter(({ text }) => seen.has(text))).toEqual([]);
  }
  const heldOut = authors.map((author) =>
    bookOf(author)
      .heldOut.map(({ text }) => text)
      .join('\n'),
  );
  for (const { text, answer } of suite.tasks[0]!.test) {
    const author = authors.indexOf(answer.trim());
    expect(heldOut[author]).toContain(text.slice(0, 60));
  }
});

test('answers are right', () => {
  const named = (name: string) => suite.tasks.find((task) => task.name === name)!.test;
  for (const { text, answer } of named('copy')) expect(answer).toBe(` ${text}`);
  for (const { text, answer } of named('sort')) expect(answer.trim().split(' ')).toEqual(text.split(' ').sort());
  const balance = (name: string, word: string): number => named(name).filter(({ answer }) => answer === word).length;
  expect(balance('order', ' right')).toBe(6);
  expect(balance('party', ' Democrat')).toBe(6);
});

test('rows fit, and the answer alone is judged', () => {
  const rows = all.flatMap((task, i) => task.test.map((example) => ({ example, row: rowOf(example, i, tokenizer) })));
  for (const { example, row } of rows) {
    const judged = row.labels.filter((label) => label !== ignored);
    expect(tokenizer.decode(judged).trim()).toBe(example.answer.trim());
    expect(row.ids.length).toBeLessThanOrEqual(context);
  }
  const { columns, shapes } = batchOf(
    rows.slice(0, 3).map(({ row }) => row),
    true,
    true,
  );
  expect(shapes).toEqual({ ids: [3, context], labels: [3, context], mask: [3, context], task: [3] });
  const known = rows.slice(0, 3).reduce((n, { row }) => n + row.ids.length, 0);
  expect(Array.from(columns['mask']!).filter((v) => v === 1)).toHaveLength(known);
});
