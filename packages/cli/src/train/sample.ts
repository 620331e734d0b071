import type { PreferenceItem, TargetItem } from '@peftjs/data';
import type { Tokenizer } from '@peftjs/io';
import type { Executor } from '@peftjs/tensor';
import { type CausalLM, generator, streamText, type TextGenerator } from '@peftjs/transformer';
import type { Example } from '../data/encode-example.ts';
import type { Lesson } from '../learn/lesson.ts';
import type { AnswerLesson } from '../learn/seq2seq.ts';
import type { WritingLesson } from '../learn/writing.ts';
import type { Prepared } from './prepared.ts';

/** A prompt, and a model's answer. */
export interface Sample {
  readonly prompt: string;
  readonly text: string;
}

/** New tokens of a sample. */
const longest = 64;

const isWriting = (lesson: Lesson): lesson is WritingLesson => 'conversation' in lesson;

const isAnswering = (lesson: Lesson): lesson is AnswerLesson => lesson.task.head === 'seq2seqLM';

/** The part of an example that a model is given: up to what the assistant says first, the prompt, or the opening of a text. */
const promptOf = (example: Example | PreferenceItem, { chat }: WritingLesson['conversation']): Int32Array => {
  const { tokenizer } = chat;
  if ('text' in example) return tokenizer.encode(example.text.split(' ').slice(0, 12).join(' '));
  if ('prompt' in example && typeof example.prompt === 'string')
    return 'chosen' in example
      ? chat.encode([{ role: 'user', content: example.prompt }], { generationPrompt: true })
      : tokenizer.encode(example.prompt);
  const messages =
    'messages' in example ? example.messages : (example.prompt as Exclude<typeof example.prompt, string>);
  const first = messages.findIndex(({ role }) => role === 'assistant');
  return chat.encode(first < 0 ? messages : messages.slice(0, first), { generationPrompt: true });
};

/** Lets models answer one prompt. */
interface Sampler {
  /** The answer of a model; null where the model does not write, and where there is no room for an answer. Programs are compiled once for each model. */
  of(model: unknown): Promise<Sample | null>;
  close(): Promise<void>;
}

/** The part of the first example that a model is given, and its tokenizer; null of a task that does not write. */
const asked = ({
  lesson,
  examples,
}: Prepared): { readonly ids: Int32Array; readonly tokenizer: Tokenizer; readonly beside: boolean } | null => {
  const first = examples.firstValue;
  if (isAnswering(lesson))
    return {
      ids: lesson.tokenizer.encode((first as TargetItem).source),
      tokenizer: lesson.tokenizer,
      beside: true,
    };
  if (!isWriting(lesson)) return null;
  const { chat } = lesson.conversation;
  return { ids: promptOf(first as Example, lesson.conversation), tokenizer: chat.tokenizer, beside: false };
};

/** Lets models answer the first example of a run. Always the likeliest tokens, so that answers can be compared. */
export const sampler = (ready: Prepared, executor: Executor): Sampler => {
  const question = asked(ready);
  if (!question) return { of: async () => null, close: async () => {} };
  const { ids, tokenizer, beside } = question;
  // A decoder beside an encoder writes from its first token on.
  const before = beside ? 1 : ids.length;
  const made = new Map<CausalLM, TextGenerator>();
  return {
    of: async (of) => {
      const model = of as CausalLM;
      const room = Math.min(model.config.maxPositions, model.positionsLeft) - before;
      if (room < 8 || ids.length === 0) return null;
      const maxTokens = Math.min(longest, room);
      const own = made.get(model) ?? generator(model, { executor, context: before + maxTokens });
      made.set(model, own);
      let text = '';
      for await (const piece of streamText(own, { tokenizer, prompt: ids, maxTokens, temperature: 0 })) text += piece;
      return { prompt: tokenizer.decode(ids, { skipSpecial: true }), text };
    },
    close: async () => {
      for (const own of made.values()) await own.close();
      made.clear();
    },
  };
};

/** The chat template to be kept beside an adapter; null where there is none, or the model has it. */
export const keptTemplate = (lesson: Lesson): string | null =>
  isWriting(lesson) ? lesson.conversation.template : null;
