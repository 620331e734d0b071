import { type CompletionItem, ignored, type MessagesItem, type TextItem } from '@peftjs/data';
import type { Chat, ChatMessage } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';

/** A row of tokens, and the token that each of them is to predict; −100 where nothing is learnt. */
export type Encoded = { readonly ids: Int32Array; readonly labels: Int32Array };

/** The means by which examples are encoded. */
export interface Encoder {
  readonly chat: Chat;
  /** The token that ends a text. */
  readonly end: number;
  readonly learn: 'assistant' | 'all';
}

/** An example of a language model. */
export type Example = MessagesItem | CompletionItem | TextItem;

const shifted = (all: Int32Array, learnt: (at: number) => boolean): Encoded => ({
  ids: all.slice(0, -1),
  labels: all.slice(1).map((id, at) => (learnt(at + 1) ? id : ignored)),
});

const ofMessages = (
  messages: readonly ChatMessage[],
  tools: readonly object[] | undefined,
  { chat, learn }: Encoder,
): Encoded => {
  const { ids, assistant } = chat.encodeTurns(messages, tools ? { tools } : {});
  return shifted(ids, (at) => learn === 'all' || assistant[at] === 1);
};

const ofCompletion = (prompt: string, completion: string, { chat, end, learn }: Encoder): Encoded => {
  const { tokenizer } = chat;
  const before = tokenizer.encode(prompt);
  const all = Int32Array.of(...before, ...tokenizer.encode(completion, { special: false }), end);
  return shifted(all, (at) => learn === 'all' || at >= before.length);
};

const ofText = (text: string, { chat, end }: Encoder): Encoded =>
  shifted(Int32Array.of(...chat.tokenizer.encode(text), end), () => true);

/** An example as tokens, of which what the assistant says is learnt, the completion, or a text as a whole. Throws `bad-data`. */
export const encodeExample = (example: Example, encoder: Encoder): Encoded => {
  if ('text' in example) return ofText(example.text, encoder);
  if ('messages' in example) return ofMessages(example.messages, example.tools, encoder);
  const { prompt, completion, tools } = example;
  if (typeof prompt === 'string' && typeof completion === 'string') return ofCompletion(prompt, completion, encoder);
  if (typeof prompt !== 'string' && typeof completion !== 'string')
    return ofMessages([...prompt, ...completion], tools, encoder);
  throw new PeftError('bad-data', 'has a prompt and a completion of which one is a text and the other messages');
};
