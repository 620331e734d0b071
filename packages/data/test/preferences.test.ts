import { join } from 'node:path';
import { loadChat } from '@peftjs/io';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { fromArray, ignored, type PreferenceRow, pipe, preferences } from '../src/index.ts';
import { obeysStreamLaws, readAll } from './stream-laws.ts';

const template = `{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}`;
const made = await loadChat(join(import.meta.dirname, '../../base-model/model'), { template });
const { tokenizer } = made;
const ask = { role: 'user', content: 'Who hunts the whale?' };
const say = (content: string) => ({ role: 'assistant', content });
const judged = ({ labels }: PreferenceRow): string => tokenizer.decode(labels.filter((label) => label !== ignored));

test('a pair of conversations becomes two rows, of which what follows the common beginning is judged', async () => {
  const before = [ask, say('Guess.'), { role: 'user', content: 'I can not.' }];
  const items = [
    { chosen: [...before, say('Ahab does.')], rejected: [...before, say('No idea at all.')] },
    { prompt: [ask], chosen: [say('Ahab.')], rejected: [say('Ishmael.')] },
    { prompt: ask.content, chosen: 'Ahab.', rejected: 'Ishmael.' },
  ];
  const rows = await obeysStreamLaws(pipe(fromArray(items), preferences(made)));
  expect(rows.map((row) => judged(row).trim())).toEqual([
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
  expect(judged(rows[1]!)).toContain('Nobody.');
  const context = tokenizer.encode(item.prompt).length + 1;
  const { items: cut } = await readAll(pipe(fromArray([item]), preferences(tokenizer, { context })));
  expect(cut.map(({ ids }) => ids.length)).toEqual([context, context]);
  expect([...cut[0]!.ids]).toEqual(whole.slice(0, context));
});

test('what is no pair is told with its place', async () => {
  const of = (item: unknown, source: Parameters<typeof preferences>[0] = made, context = 1000) =>
    messageOf('bad-data', () => readAll(pipe(fromArray([item]), preferences(source, { context }))));
  expect(await of('x')).toMatch(/row 0: is .*a pair is \{ prompt, chosen, rejected \}/);
  expect(await of({ chosen: [ask, say('Ahab.')] })).toContain('rejected');
  expect(await of({ chosen: [say('a')], rejected: [say('b')] })).toContain('no message in common');
  expect(await of({ chosen: [ask, say('a')], rejected: [ask, say('b')] }, tokenizer)).toContain('loadChat');
  expect(await of({ prompt: 'Who?', chosen: 'Ahab.', rejected: 'I.' }, made, 2)).toContain('within 2 tokens');
  expect(await messageOf('bad-option', () => preferences(made, { context: 0 }))).toContain('context');
});
