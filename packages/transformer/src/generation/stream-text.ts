import { decodeStream, type Tokenizer } from '@peftjs/io';
import type { TextGenerator } from './generator.ts';
import type { Prompt } from './prompts.ts';
import type { StreamOptions } from './stream-options.ts';

/** How a text is continued. */
export interface StreamTextOptions extends Omit<StreamOptions, 'tokenizer'> {
  readonly tokenizer: Pick<Tokenizer, 'decode' | 'encode'>;
  /** A text, or ids such as `chat.encode` gives. */
  readonly prompt: string | Prompt;
  /** Whether special tokens are left out of the text. Default true. */
  readonly skipSpecial?: boolean;
}

/** How many of the last characters may be the beginning of one of the texts. */
const mayBegin = (text: string, stops: readonly string[]): number => {
  for (let length = Math.min(text.length, Math.max(0, ...stops.map((stop) => stop.length - 1))); length > 0; length--)
    if (stops.some((stop) => stop.startsWith(text.slice(-length)))) return length;
  return 0;
};

const firstOf = (text: string, stops: readonly string[]): number => {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return found.length > 0 ? Math.min(...found) : -1;
};

/**
 * Continues a text, piece by piece: `for await (const piece of streamText(generator, { tokenizer, prompt })) process.stdout.write(piece)`. A piece
 * never ends within a character that several tokens make, and nothing of a text of `stopTexts` is given out. Throws as the generator and the
 * tokenizer do.
 */
export async function* streamText(
  { stream }: Pick<TextGenerator, 'stream'>,
  { tokenizer, prompt, skipSpecial = true, ...options }: StreamTextOptions,
): AsyncGenerator<string, void> {
  const ids = typeof prompt === 'string' ? tokenizer.encode(prompt) : prompt;
  const { stopTexts = [] } = options;
  const decoded = decodeStream(tokenizer, { skipSpecial });
  let held = '';
  const tokens = stream([ids], { ...options, tokenizer });
  for await (const { token } of tokens) {
    held += decoded.push(token);
    const end = firstOf(held, stopTexts);
    if (end >= 0) {
      if (end > 0) yield held.slice(0, end);
      return;
    }
    const ready = held.length - mayBegin(held, stopTexts);
    if (ready > 0) yield held.slice(0, ready);
    held = held.slice(ready);
  }
  held += decoded.end();
  const end = firstOf(held, stopTexts);
  if (end >= 0) held = held.slice(0, end);
  if (held !== '') yield held;
}
