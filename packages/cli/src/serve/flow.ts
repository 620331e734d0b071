import { mixBatch } from '@peftjs/core';
import type { Executor } from '@peftjs/tensor';
import {
  type CausalLM,
  type RunningBatch,
  type RunningModels,
  type RunningText,
  runningBatch,
} from '@peftjs/transformer';
import type { Voice } from '../tuned.ts';
import type { Job } from './job.ts';

/** The limits of a flow. */
export interface FlowOptions {
  readonly executor: Executor;
  readonly context: number;
  readonly rows: number;
  /** Tokens that end a text. */
  readonly stop: ReadonlySet<number>;
  /** Told of each step: the requests in it. */
  readonly onStep?: (requests: number) => void;
  /** Told how many programs are compiled before it begins. */
  readonly onCompile?: (done: number, total: number) => void;
  /** Told of each prompt: of how many of its tokens the keys and values were there already. */
  readonly onKnown?: (tokens: number) => void;
}

/** Answers requests in one running batch: each joins it at the next token, and leaves it when it has ended. */
export interface Flow {
  /** Requests that run, or whose prompts are being read. */
  running(): readonly Job[];
  /** Whether there is something to do. */
  isBusy(): boolean;
  /** Takes at most one request of a list, reads a piece of a prompt, and gives each that runs its next token. */
  turn(waiting: Job[]): Promise<void>;
  /** Compiles what these adapters need while requests run, and gives what puts them in place: between two turns, when no request of one that is left out runs. */
  prepare(voices: readonly Voice[]): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

/** A base alone or with an adapter. */
type Spoken = Voice | null;

const modelsOf = (base: CausalLM, voices: readonly Voice[], executor: Executor): RunningModels<Spoken> => ({
  voices: [null, ...voices],
  alone: (voice) => voice?.adapted.model ?? base,
  mixed: (rows) => {
    const { model, assign } = mixBatch(
      voices.map(({ adapted }) => adapted),
      rows,
    );
    return {
      model,
      assign: (spoken) =>
        assign(
          spoken.map((voice) => (voice ? voices.indexOf(voice) : null)),
          { executor },
        ),
    };
  },
});

/** Makes a flow over a base and adapters that are all read by pieces. */
export const makeFlow = async (
  base: CausalLM,
  first: readonly Voice[],
  { executor, context, rows, stop, onStep, onKnown, onCompile }: FlowOptions,
): Promise<Flow> => {
  const batch: RunningBatch<Spoken> = await runningBatch(modelsOf(base, first, executor), {
    executor,
    context,
    rows,
    ...(onCompile && { onCompile }),
  });
  let voices = first;
  const running = new Map<RunningText<Spoken>, { readonly job: Job; readonly tokens: number[] }>();
  let reading: Job | null = null;

  /** Lets a request choose its next token; null where it has ended. Whatever it can't be chosen of fails this request alone. */
  const next = (job: Job, logits: Float32Array, tokens: number[]): number | null => {
    try {
      const token = job.choose(logits, tokens, stop);
      if (token === null) return null;
      tokens.push(token);
      job.push(token);
      return job.isDone() ? null : token;
    } catch (error) {
      job.fail(error);
      return null;
    }
  };
  const take = async (waiting: Job[]): Promise<void> => {
    if (reading || !batch.hasRoom() || waiting.length === 0) return;
    reading = waiting.shift()!;
    const { adapter, ids } = reading.ask;
    const voice = voices.find(({ name }) => name === adapter) ?? null;
    onKnown?.(await batch.begin(voice, ids));
  };
  const read = async (): Promise<void> => {
    if (!reading) return;
    const job = reading;
    const tokens: number[] = [];
    const logits = job.isDone() ? null : await batch.read();
    if (!logits && !job.isDone()) return;
    const token = logits && next(job, logits, tokens);
    if (token === null) batch.abandon();
    else running.set(await batch.join(token), { job, tokens });
    reading = null;
  };
  const step = async (): Promise<void> => {
    for (const [text, { job }] of running)
      if (job.isDone()) {
        running.delete(text);
        await batch.leave(text);
      }
    if (running.size === 0) return;
    onStep?.(running.size);
    for (const [text, logits] of await batch.step()) {
      const { job, tokens } = running.get(text)!;
      const token = next(job, logits, tokens);
      if (token !== null) batch.push(text, token);
    }
  };
  const jobs = (): readonly Job[] => [...[...running.values()].map(({ job }) => job), ...(reading ? [reading] : [])];
  const failAll = (error: unknown): void => {
    for (const job of jobs()) job.fail(error);
    running.clear();
    reading = null;
    batch.clear();
  };

  return {
    running: jobs,
    isBusy: () => running.size > 0 || reading !== null,
    turn: async (waiting) => {
      try {
        await take(waiting);
        await read();
        await step();
      } catch (error) {
        failAll(error);
      }
    },
    prepare: async (all) => {
      const put = await batch.prepare(modelsOf(base, all, executor));
      return () => {
        voices = all;
        return put();
      };
    },
    close: () => batch.close(),
  };
};
