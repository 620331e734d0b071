import type { Executor } from '@peftjs/tensor';
import { type CausalLM, generator, streamText } from '@peftjs/transformer';
import type { Example } from '../data/encode-example.ts';
import type { Prepared } from './prepared.ts';

/** A prompt, and a model's answer. */
export interface Sample {
  readonly prompt: string;
  readonly text: string;
}

/** New tokens of a sample. */
const longest = 64;

/** The part of an example that a model is given: up to what the assistant says first, the prompt, or the opening of a text. */
const promptOf = (example: Example, { base, conversation: { chat } }: Prepared): Int32Array => {
  const { tokenizer } = base;
  if ('text' in example) return tokenizer.encode(example.text.split(' ').slice(0, 12).join(' '));
  if ('prompt' in example && typeof example.prompt === 'string') return tokenizer.encode(example.prompt);
  const messages =
    'messages' in example ? example.messages : (example.prompt as Exclude<typeof example.prompt, string>);
  const first = messages.findIndex(({ role }) => role === 'assistant');
  return chat.encode(first < 0 ? messages : messages.slice(0, first), { generationPrompt: true });
};

/** A function that lets a model answer the first example of a run; null where there is no room for an answer. Always the likeliest tokens, so that two can be compared. */
export const sampler = async (
  ready: Prepared,
  executor: Executor,
): Promise<(model: CausalLM) => Promise<Sample | null>> => {
  const ids = promptOf(ready.examples.firstValue, ready);
  const { tokenizer, model } = ready.base;
  return async (of) => {
    const room = Math.min(model.config.maxPositions, of.positionsLeft) - ids.length;
    if (room < 8 || ids.length === 0) return null;
    const maxTokens = Math.min(longest, room);
    const made = generator(of, { executor, context: ids.length + maxTokens });
    try {
      let text = '';
      for await (const piece of streamText(made, { tokenizer, prompt: ids, maxTokens, temperature: 0 })) text += piece;
      return { prompt: tokenizer.decode(ids, { skipSpecial: true }), text };
    } finally {
      await made.close();
    }
  };
};
