import { PeftError } from '@peftjs/tensor';
import type { Tokenizer } from '../tokenizer.ts';
import type { ChatMessage, ChatTokens } from './chat.ts';
import type { Written } from './render.ts';

/** Writes some of the messages; with or without the opening of the next turn, by default as was asked for. */
type Write = (messages: readonly ChatMessage[], generationPrompt?: boolean) => Written;

type Span = readonly [start: number, end: number];

/** Spans of the text that each message of the assistant adds. */
const byPrefixes = (messages: readonly ChatMessage[], whole: string, write: Write): readonly Span[] =>
  messages.flatMap(({ role }, i) => {
    if (role !== 'assistant') return [];
    const before = write(messages.slice(0, i), true).text;
    const behind = write(messages.slice(0, i + 1), false).text;
    if (whole.startsWith(behind) && behind.startsWith(before)) return [[before.length, behind.length] as const];
    throw new PeftError(
      'bad-option',
      `chat: what the assistant says in message ${i} can't be told: the template writes ${behind.startsWith(before) ? 'it in another way once a later message is there' : 'the opening of its turn in another way'}. Give loadChat a template with {% generation %} around what the assistant says, or one whose text only grows.`,
    );
  });

/** The end of a turn without the spaces that stand behind its special token. */
const trimmedEnd = (tokenizer: Tokenizer, ids: Int32Array, start: number, end: number): number => {
  const isSpecial = (id: number): boolean =>
    tokenizer.decode([id]) !== '' && tokenizer.decode([id], { skipSpecial: true }) === '';
  let last = end;
  while (last > start && !isSpecial(ids[last - 1]!)) last--;
  return last > start && tokenizer.decode(ids.subarray(last, end)).trim() === '' ? last : end;
};

/** Ids of messages, and which of them the assistant says. */
export const assistantMask = (tokenizer: Tokenizer, messages: readonly ChatMessage[], write: Write): ChatTokens => {
  const { text, apart, spans } = write(messages);
  // What opens a turn after the last message is a prompt, and marked as nobody's.
  const found = (spans ?? byPrefixes(messages, text, write)).filter(([start, end]) => start < end);
  const { ids, places } = tokenizer.locate(text, found.flat(), { apart });
  const assistant = new Uint8Array(ids.length);
  for (const i of found.keys()) {
    const [start, end] = [places[2 * i]!.before, places[2 * i + 1]!.reached];
    assistant.fill(1, start, spans ? end : trimmedEnd(tokenizer, ids, start, end));
  }
  return { ids, assistant };
};
