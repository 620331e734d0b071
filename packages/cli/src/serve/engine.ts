import { type MixedBatch, mixBatch } from '@peftjs/core';
import { type Executor, isPeftError, PeftError } from '@peftjs/tensor';
import { type CausalLM, generator, type TextGenerator } from '@peftjs/transformer';
import type { Tuned, Voice } from '../tuned.ts';
import { embedder } from './embed.ts';
import { type Ask, chooseByRow, type Job, makeJob } from './job.ts';

/** The limits of an engine. */
export interface EngineOptions {
  readonly executor: Executor;
  /** Tokens of prompt and answer together. */
  readonly context: number;
  /** Requests that run together. */
  readonly rows: number;
  /** Requests that wait, at most. */
  readonly queue: number;
  /** Tokens that end a text. */
  readonly stop: readonly number[];
  /** Told of each batch: the requests in it. */
  readonly onBatch?: (requests: number) => void;
}

/** Answers requests by one base and several adapters, several at a time. */
export interface Engine {
  readonly context: number;
  readonly voices: ReadonlyMap<string, Voice>;
  /** Requests that wait, and that run. */
  load(): { readonly waiting: number; readonly running: number };
  /** Takes a request; throws `queue-full` as a `bad-option` where too many wait. */
  ask(ask: Ask): Job;
  /** Vectors of texts, each of length 1: the mean of the last block's states. */
  embed(adapter: string | null, texts: readonly Int32Array[]): Promise<readonly Float32Array[]>;
  /** Adds an adapter, or takes the place of one of its name, once no batch runs. */
  add(voice: Voice): Promise<void>;
  remove(name: string): Promise<boolean>;
  /** Takes no more requests, finishes those that are there, and frees what it has made. */
  close(): Promise<void>;
}

/** A request came while as many as may wait did. */
export class QueueFull extends Error {}

/** A batch: its requests, and what runs it. */
interface Batch {
  readonly jobs: readonly Job[];
  /** Whose rows are all alike; undefined where they are mixed. */
  readonly only: string | null | undefined;
}

/** Sizes in which mixed batches are compiled: 1, 2, 4, … */
const sizeFor = (jobs: number): number => 2 ** Math.ceil(Math.log2(jobs));

/** Whether an adapter goes into batches with others: its rows must be like theirs. */
const mixes = (voices: readonly Voice[]): boolean => {
  try {
    mixBatch(
      voices.map(({ adapted }) => adapted),
      1,
    );
    return true;
  } catch (error) {
    if (isPeftError(error) && error.code === 'bad-option') return false;
    throw error;
  }
};

/**
 * Makes an engine. Requests that wait are taken together, up to `rows`, each with its own adapter and its own way of choosing tokens, and run until the last of
 * them has ended; those that come meanwhile are the next batch. A row gives what its request alone gives.
 */
export const makeEngine = ({ base, voices: first }: Tuned, options: EngineOptions): Engine => {
  const { executor, context, rows, queue, onBatch } = options;
  const stop = new Set(options.stop);
  const voices = new Map<string, Voice>();
  /** Adapters that go into mixed batches, in the order of their numbers there. */
  let mixable: Voice[] = [];
  const alone = new Map<string | null, TextGenerator>();
  const mixed = new Map<number, { readonly batch: MixedBatch<CausalLM>; readonly made: TextGenerator }>();
  const waiting: Job[] = [];
  let running: readonly Job[] = [];
  let isClosed = false;
  /** Work on the device, one after the other. */
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work, work);
    last = mine.catch(() => {});
    return mine;
  };
  const make = (model: CausalLM): TextGenerator => generator(model, { executor, context, config: null });
  const modelOf = (name: string | null): CausalLM => (name === null ? base.model : voices.get(name)!.adapted.model);

  const forget = async (): Promise<void> => {
    for (const { made } of mixed.values()) await made.close();
    mixed.clear();
  };
  const place = (voice: Voice): void => {
    voices.set(voice.name, voice);
    if (mixes([...mixable, voice])) mixable = [...mixable, voice];
  };
  for (const voice of first) place(voice);

  /** The first that waits, and those behind it that can run beside it. */
  const compose = (): Batch => {
    const canMix = (job: Job): boolean =>
      job.ask.adapter === null || mixable.some(({ name }) => name === job.ask.adapter);
    const jobs: Job[] = [];
    let [prompt, tokens] = [0, 0];
    for (const job of [...waiting]) {
      const [head] = jobs;
      const fits = Math.max(prompt, job.ask.ids.length) + Math.max(tokens, job.ask.maxTokens) <= context;
      const isAlike = !head || head.ask.adapter === job.ask.adapter || (canMix(head) && canMix(job));
      if (jobs.length === rows || !fits || !isAlike) continue;
      jobs.push(job);
      waiting.splice(waiting.indexOf(job), 1);
      prompt = Math.max(prompt, job.ask.ids.length);
      tokens = Math.max(tokens, job.ask.maxTokens);
    }
    const adapters = new Set(jobs.map(({ ask }) => ask.adapter));
    return { jobs, only: adapters.size === 1 ? jobs[0]!.ask.adapter : undefined };
  };

  const generatorFor = async ({ jobs, only }: Batch, size: number): Promise<TextGenerator> => {
    if (only !== undefined) {
      const found = alone.get(only) ?? make(modelOf(only));
      alone.set(only, found);
      return found;
    }
    let found = mixed.get(size);
    if (!found) {
      const batch = mixBatch(
        mixable.map(({ adapted }) => adapted),
        size,
      );
      found = { batch, made: make(batch.model) };
      mixed.set(size, found);
    }
    const numbers = Array.from({ length: size }, (_, i) => {
      const at = mixable.findIndex(({ name }) => name === jobs[i]?.ask.adapter);
      return at < 0 ? null : at;
    });
    await found.batch.assign(numbers, { executor });
    return found.made;
  };

  const runBatch = async (): Promise<void> => {
    for (const job of waiting.filter((one) => one.isDone())) waiting.splice(waiting.indexOf(job), 1);
    if (waiting.length === 0) return;
    const batch = compose();
    running = batch.jobs;
    onBatch?.(batch.jobs.length);
    try {
      const size = sizeFor(batch.jobs.length);
      const made = await generatorFor(batch, size);
      const jobs = Array.from({ length: size }, (_, i) => batch.jobs[i] ?? null);
      const prompts = jobs.map((job) => job?.ask.ids ?? Int32Array.of([...stop][0]!));
      const maxTokens = Math.max(...batch.jobs.map(({ ask }) => ask.maxTokens));
      const tokens = made.stream(prompts, { maxTokens, stop: [...stop], processors: [chooseByRow(jobs, stop)] });
      for await (const { row, token } of tokens) {
        jobs[row]?.push(token);
        if (batch.jobs.every((job) => job.isDone())) break;
        // What came in meanwhile is to be seen: requests, and those who are gone.
        await new Promise((go) => setImmediate(go));
      }
      for (const job of batch.jobs) job.end('length');
    } catch (error) {
      for (const job of batch.jobs) job.fail(error);
    } finally {
      running = [];
    }
  };

  const embeddings = embedder(executor);
  return {
    context,
    voices,
    load: () => ({ waiting: waiting.length, running: running.length }),
    ask: (asked) => {
      if (isClosed || waiting.length >= queue) throw new QueueFull();
      const job = makeJob(asked);
      waiting.push(job);
      void inTurn(runBatch);
      return job;
    },
    embed: (adapter, texts) => inTurn(() => embeddings.of(modelOf(adapter), texts)),
    add: (voice) =>
      inTurn(async () => {
        await drop(voice.name);
        place(voice);
        await forget();
      }),
    remove: (name) => inTurn(() => drop(name)),
    close: async () => {
      isClosed = true;
      while (waiting.length > 0 || running.length > 0) await last;
      await inTurn(async () => {
        await forget();
        for (const made of alone.values()) await made.close();
        embeddings.close();
      });
    },
  };

  async function drop(name: string): Promise<boolean> {
    const voice = voices.get(name);
    if (!voice) return false;
    const asked = waiting.filter(({ ask }) => ask.adapter === name);
    for (const job of asked) job.fail(new PeftError('bad-option', `the adapter ${name} was unloaded`));
    voices.delete(name);
    mixable = mixable.filter((one) => one.name !== name);
    await alone.get(name)?.close();
    alone.delete(name);
    await forget();
    embeddings.forget(voice.adapted.model);
    executor.release(voice.adapted.state.values());
    return true;
  }
};
