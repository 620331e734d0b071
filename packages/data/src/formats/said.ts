import { type ChatMessage, isObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { kindOf } from '../words.ts';
import { type Fields, fromJson, isText } from './fields.ts';
import type { Said } from './items.ts';

/** Who speaks, as files in the layout of ShareGPT and LLaMA-Factory (its data/README.md) call it. */
const roles: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  assistant: 'assistant',
  model: 'assistant',
  system: 'system',
  observation: 'tool',
  tool: 'tool',
  function_call: 'assistant',
};

const isMessage = (value: unknown): boolean =>
  isObject(value) && (isText(value['role']) || (isText(value['from']) && 'value' in value));

/** Whether a value is messages: a list of `{ role, content }` or `{ from, value }`, one of these alone, or JSON of it. */
export const isMessages = (value: unknown): boolean => {
  const read = fromJson(value);
  const list = Array.isArray(read) ? read : [read];
  return list.length > 0 && list.every(isMessage);
};

/** Whether a value is a text or messages. */
export const isSaid = (value: unknown): boolean => isText(value) || isMessages(value);

/** A message of `{ from, value }`; a call of a function is the assistant's, its value JSON of name and arguments. */
const renamed = ({ from, value, ...others }: Fields): ChatMessage => {
  const role = Object.hasOwn(roles, from as string) ? roles[from as string]! : undefined;
  if (!role)
    throw new PeftError(
      'bad-data',
      `has a message from ${kindOf(from)}; who speaks is one of ${Object.keys(roles).join(', ')}`,
    );
  if (from !== 'function_call') return { ...others, role, content: value };
  const call = fromJson(value);
  const calls = (Array.isArray(call) ? call : [call]).map((one: unknown) => {
    if (isObject(one) && isText(one['name'])) return { type: 'function', function: one };
    throw new PeftError(
      'bad-data',
      `has a call of a function that is no JSON of { name, arguments }: ${kindOf(value)}`,
    );
  });
  return { ...others, role, content: '', tool_calls: calls };
};

/** The texts of a content's parts as one text. Throws `bad-data` for a part that is none, as a picture. */
const joined = (parts: readonly unknown[]): string =>
  parts
    .map((part) => {
      if (isObject(part) && part['type'] === 'text' && isText(part['text'])) return part['text'];
      const what = isObject(part) && isText(part['type']) ? `of the type ${part['type']}` : `that is ${kindOf(part)}`;
      throw new PeftError(
        'bad-data',
        `has a message with a part ${what}; a language model reads texts: { type: 'text', text }`,
      );
    })
    .join('');

/** A message with its content as a text, which may be given in parts. Throws `bad-data` for one that says nothing at all: it calls no tool either. */
const withText = (message: ChatMessage): ChatMessage => {
  const { role, content, ...others } = message;
  if (Array.isArray(content)) return { ...message, content: joined(content) };
  if (content != null || Object.values(others).some((one) => one != null)) return message;
  throw new PeftError(
    'bad-data',
    `has a message of ${role} whose content is ${kindOf(content)}, and nothing beside it`,
  );
};

/** Messages, as they are or renamed. Throws `bad-data` for speakers that are not known, and as `withText`. */
export const messagesIn = (value: unknown): readonly ChatMessage[] => {
  const read = fromJson(value);
  const list = (Array.isArray(read) ? read : [read]) as readonly Fields[];
  return list.map((message) =>
    withText(isText(message['role']) ? (message as unknown as ChatMessage) : renamed(message)),
  );
};

/** A text as it is, or messages. */
export const saidIn = (value: unknown): Said => (isMessages(value) ? messagesIn(value) : (value as string));

/** Messages of what somebody says: a text is one of his. */
export const asMessages = (said: Said, role: string): readonly ChatMessage[] =>
  isText(said) ? [{ role, content: said }] : said;

/** The tools of an item: a list, or JSON of it. Throws `bad-data` for anything else. */
export const toolsIn = ({ tools }: Fields): { readonly tools?: readonly object[] } => {
  const read = fromJson(tools);
  if (read === undefined || read === '' || (Array.isArray(read) && read.length === 0)) return {};
  if (Array.isArray(read) && read.every(isObject)) return { tools: read as unknown as readonly object[] };
  throw new PeftError('bad-data', `has ${kindOf(tools)} as tools; they are a list of objects, or JSON of one`);
};
