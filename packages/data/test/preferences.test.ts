import { join } from 'node:path';
import { loadChat } from '@peftjs/io';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { batch, fromArray, ignored, judged, mismatched, pipe, preferences } from '../src/index.ts';
import { obeysStreamLaws, readAll } from './stream-laws.ts';

const template = `{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}`;
const made = await loadChat(join(import.meta.dirname, '../../base-model/model'), { template });
const { tokenizer } = made;
const ask = { role: 'user', content: 'Who hunts the whale?' };
const say = (content: string) => ({ role: 'assistant', content });
const judgedText = (labels: ArrayLike<number>): string =>
  tokenizer.decode(Int32Array.from(labels).filter((label) => label !== ignored));

test('a pair of conversations becomes two rows, of which what follows the common beginning is judged', async () => {
  const before = [ask, say('Guess.'), { role: 'user', content: 'I can not.' }];
  const items = [
    { chosen: [...before, say('Ahab does.')], rejected: [...before, say('No idea at all.')] },
    { prompt: [ask], chosen: [say('Ahab.')], rejected: [say('Ishmael.')] },
    { prompt: ask.content, chosen: 'Ahab.', rejected: 'Ishmael.' },
  ];
  const rows = await obeysStreamLaws(pipe(fromArray(items), preferences(made)));
  expect(rows.map((row) => judgedText(row.labels).trim())).toEqual([
    'Ahab does.',
    'No idea at all.',
    'Ahab.',
    'Ishmael.',
    'Ahab.',
    'Ishmael.',
  ]);
  const whole = made.encode(items[0]!.chosen as { role: string; content: string }[]);
  expect([...rows[0]!.ids]).toEqual([...whole.slice(0, -1)]);
  expect(rows[0]!.labels.every((label, t) => label === ignored || label === whole[t + 1])).toBe(true);
});

test('texts are joined as they are, and ended; longer rows are cut', async () => {
  const item = { prompt: 'Who hunts the whale?', chosen: ' Ahab does.', rejected: ' Nobody.' };
  const { items: rows } = await readAll(pipe(fromArray([item]), preferences(tokenizer)));
  const whole = [
    ...tokenizer.encode(item.prompt + item.chosen),
    ...(tokenizer.eosId === undefined ? [] : [tokenizer.eosId]),
  ];
  expect([...rows[0]!.ids, rows[0]!.labels.at(-1)]).toEqual(whole);
  expect(judgedText(rows[1]!.labels)).toContain('Nobody.');
  const context = tokenizer.encode(item.prompt).length + 1;
  const { items: cut } = await readAll(pipe(fromArray([item]), preferences(tokenizer, { context })));
  expect(cut.map(({ ids }) => ids.length)).toEqual([context, context]);
  expect([...cut[0]!.ids]).toEqual(whole.slice(0, context));
});

test('what is no pair is told with its place', async () => {
  const of = (item: unknown, source: Parameters<typeof preferences>[0] = made, context = 1000) =>
    messageOf('bad-data', () => readAll(pipe(fromArray([item]), preferences(source, { context }))));
  expect(await of('x')).toMatch(/row 0: is .*where \{ prompt, chosen, rejected \} is wanted/);
  expect(await of({ chosen: [ask, say('Ahab.')] })).toContain('rejected');
  expect(await of({ chosen: [say('a')], rejected: [say('b')] })).toContain(
    'no message that chosen and rejected answer to',
  );
  expect(await of({ chosen: [ask, say('a')], rejected: [ask, say('b')] }, tokenizer)).toContain('loadChat');
  expect(await of({ prompt: 'Who?', chosen: 'Ahab.', rejected: 'I.' }, made, 2)).toContain('within 2 tokens');
  expect(await messageOf('bad-option', () => preferences(made, { context: 0 }))).toContain('context');
});

test('a reward model reads all tokens of each answer, and no labels', async () => {
  const item = { prompt: ask.content, chosen: 'Ahab.', rejected: 'Ishmael.' };
  const { items } = await readAll(pipe(fromArray([item]), preferences(made, { labels: false })));
  expect(items).toEqual([{ ids: made.encode([ask, say('Ahab.')]) }, { ids: made.encode([ask, say('Ishmael.')]) }]);
});

test('answers with a verdict, each followed by one that does not belong to its prompt', async () => {
  const items = [
    { prompt: ask.content, completion: 'Ahab does.', label: true },
    { prompt: [{ role: 'user', content: 'Why?' }], completion: [say('Nobody knows that at all.')], label: false },
    { prompt: 'And who else?', completion: 'Starbuck.', label: true },
  ];
  const whole = (prompt: string, completion: string): number[] => [
    ...made.encode([{ role: 'user', content: prompt }, say(completion)]),
  ];
  const [first] = await obeysStreamLaws(
    pipe(fromArray(items), judged(made), batch({ size: 3 }), mismatched({ multipleOf: 4 })),
  );
  const { rows, columns, shapes } = first!;
  const [, tokens] = shapes['ids'] as [number, number];
  expect([rows, tokens % 4, shapes['desirable']]).toEqual([6, 0, [6, 1]]);
  expect([...columns['desirable']!]).toEqual([1, 1, 0, 0, 1, 1]);
  const wanted = [
    [ask.content, 'Ahab does.'],
    [ask.content, 'Starbuck.'],
    ['Why?', 'Nobody knows that at all.'],
    ['Why?', 'Ahab does.'],
    ['And who else?', 'Starbuck.'],
    ['And who else?', 'Nobody knows that at all.'],
  ] as const;
  for (const [row, [prompt, completion]] of wanted.entries()) {
    const of = (name: string) => [...columns[name]!.subarray(row * tokens, (row + 1) * tokens)];
    const labels = of('labels');
    const last = labels.findLastIndex((label) => label !== ignored);
    expect([...of('ids').slice(0, last + 1), labels[last]]).toEqual(whole(prompt, completion).slice(0, last + 2));
    expect(judgedText(labels).trim()).toBe(completion);
    expect(of('mask').reduce((a, b) => a + b)).toBe(last + 1);
  }
  const of = (item: unknown, size = 2) =>
    messageOf('bad-data', () => readAll(pipe(fromArray([item]), judged(made), batch({ size }), mismatched())));
  expect(await of({ ...items[0], label: 'yes' })).toContain('true or false');
  expect(await of({ completion: 'Ahab.', label: true })).toContain('give it as prompt');
  expect(await of(items[0])).toContain('at least two rows');
});
