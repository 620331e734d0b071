import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web';
import type { Tokenizer } from '@peftjs/io';
import { type Random, randomSource } from '@peftjs/tensor';
import {
  type GeneratedToken,
  type LogitsProcessor,
  type SampleOptions,
  sampleToken,
  streamText,
} from '@peftjs/transformer';

/** The way in which one request's tokens are chosen. */
export interface Choosing extends Pick<SampleOptions, 'temperature' | 'topP' | 'topK'> {
  readonly seed: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
}

/** A request to continue a text. */
export interface Ask {
  /** The name of an adapter; null for the base. */
  readonly adapter: string | null;
  readonly ids: Int32Array;
  readonly maxTokens: number;
  readonly stopTexts: readonly string[];
  readonly choosing: Choosing;
}

/** The end of an answer: a token or a text that ends it, the limit of tokens, or whoever asked is gone. */
export type Finish = 'stop' | 'length' | 'cancelled';

/** A request that waits or runs. */
export interface Job {
  readonly ask: Ask;
  /** The answer, piece by piece. */
  text(tokenizer: Pick<Tokenizer, 'decode' | 'encode'>): AsyncGenerator<string, void>;
  /** The reason of its end, once the text has ended. */
  finish(): Finish;
  /** New tokens so far. */
  tokens(): number;
  isDone(): boolean;
  /** Takes a new token. */
  push(token: number): void;
  /** Chooses the next token of its own logits; null where it has ended. */
  choose(logits: Float32Array, tokens: readonly number[], stop: ReadonlySet<number>): number | null;
  end(reason: Finish): void;
  fail(error: unknown): void;
}

/** Makes a job of a request. */
export const makeJob = (ask: Ask): Job => {
  const { choosing, maxTokens, stopTexts, ids } = ask;
  const { presencePenalty, frequencyPenalty, seed, ...sampling } = choosing;
  // The stream of a prompt that is generated alone with this seed.
  const random: Random = randomSource(seed, 'generate');
  let reason: Finish | null = null;
  let count = 0;
  let to!: ReadableStreamDefaultController<number>;
  const from = new ReadableStream<number>({
    start: (controller) => void (to = controller),
    cancel: () => void (reason ??= 'stop'),
  });
  const end = (why: Finish): void => {
    if (reason !== null) return;
    reason = why;
    to.close();
  };
  async function* stream(): AsyncGenerator<GeneratedToken, void> {
    for await (const token of from) yield { row: 0, token };
  }
  return {
    ask,
    text: (tokenizer) => streamText({ stream }, { tokenizer, prompt: ids, stopTexts }),
    finish: () => reason ?? 'cancelled',
    tokens: () => count,
    isDone: () => reason !== null,
    push: (token) => {
      if (reason !== null) return;
      count++;
      to.enqueue(token);
      if (count >= maxTokens) end('length');
    },
    choose: (logits, tokens, stop) => {
      if (reason !== null) return null;
      if (presencePenalty !== 0) for (const id of new Set(tokens)) logits[id]! -= presencePenalty;
      if (frequencyPenalty !== 0) for (const id of tokens) logits[id]! -= frequencyPenalty;
      const token = sampleToken(logits, sampling, random);
      if (!stop.has(token)) return token;
      end('stop');
      return null;
    },
    end,
    fail: (error) => {
      if (reason !== null) return;
      reason = 'cancelled';
      to.error(error);
    },
  };
};

/** Lets each row of a batch choose for itself: all but its choice is forbidden. A row that has ended gets the token that ends a text. */
export const chooseByRow =
  (jobs: readonly (Job | null)[], stop: ReadonlySet<number>): LogitsProcessor =>
  (logits, { row, tokens }) => {
    const chosen = jobs[row]?.choose(logits, tokens, stop) ?? [...stop][0]!;
    logits.fill(Number.NEGATIVE_INFINITY);
    logits[chosen] = 0;
  };
