import { join } from 'node:path';
import { loadChat } from '@peftjs/io';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { chat, fromArray, ignored, pipe } from '../src/index.ts';
import { obeysStreamLaws, readAll } from './stream-laws.ts';

const template = `{% if tools %}{{ tools | length }} tools. {% endif %}{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}`;
const made = await loadChat(join(import.meta.dirname, '../../base-model/model'), { template });
const messages = [
  { role: 'user', content: 'Who hunts the whale?' },
  { role: 'assistant', content: 'Ahab does.' },
  { role: 'user', content: 'Why?' },
];

test('the assistant is learnt, or all; a label is the token after its position', async () => {
  const conversations = fromArray([{ messages, tools: [{}] }, messages]);
  const [first, second] = await obeysStreamLaws(pipe(conversations, chat(made)));
  const learnt = made.tokenizer.decode(first!.labels.filter((label) => label !== ignored));
  expect(learnt.trim()).toBe('Ahab does.');
  const whole = made.encode(messages, { tools: [{}] });
  expect([...first!.ids]).toEqual([...whole.slice(0, -1)]);
  expect(first!.labels.every((label, t) => label === ignored || label === whole[t + 1])).toBe(true);
  expect(second!.ids.length).toBeLessThan(first!.ids.length);
  const { items } = await readAll(pipe(conversations, chat(made, { learn: 'all' })));
  expect([...items[0]!.labels]).toEqual([...whole.slice(1)]);
});

test('what is no conversation, or has nothing to learn, is told with its place', async () => {
  const of = (item: unknown) => messageOf('bad-data', () => readAll(pipe(fromArray([messages, item]), chat(made))));
  expect(await of({ text: 'x' })).toContain('messages');
  expect(await of(messages.slice(0, 1))).toContain('no message of the assistant');
  expect(await messageOf('bad-option', () => chat(made, { learn: 'nothing' as never }))).toContain('learn');
});
