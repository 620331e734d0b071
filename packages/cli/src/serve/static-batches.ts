import { type MixedBatch, mixBatch } from '@peftjs/core';
import { type Executor, isPeftError } from '@peftjs/tensor';
import { type CausalLM, generator, type TextGenerator } from '@peftjs/transformer';
import type { Voice } from '../tuned.ts';
import { chooseByRow, type Job } from './job.ts';

/** The limits of batches. */
export interface StaticOptions {
  readonly executor: Executor;
  readonly context: number;
  readonly rows: number;
  /** Tokens that end a text. */
  readonly stop: readonly number[];
  /** Told of each batch: the requests in it. */
  readonly onBatch?: (requests: number) => void;
}

/** Answers requests of adapters whose prompts must be read at once: those taken together run until the last has ended. */
export interface StaticBatches {
  /** Takes requests that can run beside the first of them out of a list, and runs them. */
  run(waiting: Job[]): Promise<void>;
  /** Requests that run. */
  running(): readonly Job[];
  add(voice: Voice): Promise<void>;
  drop(voice: Voice): Promise<void>;
  close(): Promise<void>;
}

/** Sizes in which mixed batches are compiled: 1, 2, 4, … */
const sizeFor = (jobs: number): number => 2 ** Math.ceil(Math.log2(jobs));

/** Whether an adapter goes into batches with others: its rows must be like theirs. */
export const mixes = (voices: readonly Voice[]): boolean => {
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

/** A batch: its requests, and what runs it. */
interface Batch {
  readonly jobs: readonly Job[];
  /** Whose rows are all alike; undefined where they are mixed. */
  readonly only: string | undefined;
}

/** Makes a lane of batches. */
export const staticBatches = ({ executor, context, rows, onBatch, ...options }: StaticOptions): StaticBatches => {
  const stop = new Set(options.stop);
  const voices = new Map<string, Voice>();
  /** Adapters that go into mixed batches, in the order of their numbers there. */
  let mixable: Voice[] = [];
  const alone = new Map<string, TextGenerator>();
  const mixed = new Map<number, { readonly batch: MixedBatch<CausalLM>; readonly made: TextGenerator }>();
  let running: readonly Job[] = [];
  const make = (model: CausalLM): TextGenerator => generator(model, { executor, context, config: null });

  const forget = async (): Promise<void> => {
    for (const { made } of mixed.values()) await made.close();
    mixed.clear();
  };

  /** The first that waits, and those behind it that can run beside it. */
  const compose = (waiting: Job[]): Batch => {
    const canMix = (job: Job): boolean => mixable.some(({ name }) => name === job.ask.adapter);
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
    return { jobs, only: adapters.size === 1 ? jobs[0]!.ask.adapter! : undefined };
  };

  const generatorFor = async ({ jobs, only }: Batch, size: number): Promise<TextGenerator> => {
    if (only !== undefined) {
      const found = alone.get(only) ?? make(voices.get(only)!.adapted.model);
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

  return {
    running: () => running,
    run: async (waiting) => {
      const batch = compose(waiting);
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
    },
    add: async (voice) => {
      voices.set(voice.name, voice);
      if (mixes([...mixable, voice])) mixable = [...mixable, voice];
      await forget();
    },
    drop: async ({ name }) => {
      if (!voices.delete(name)) return;
      mixable = mixable.filter((one) => one.name !== name);
      await alone.get(name)?.close();
      alone.delete(name);
      await forget();
    },
    close: async () => {
      await forget();
      for (const made of alone.values()) await made.close();
    },
  };
};
