import { type Executor, PeftError } from '@peftjs/tensor';
import { type CausalLM, canRun } from '@peftjs/transformer';
import type { Tuned, Voice } from '../tuned.ts';
import { embedder } from './embed.ts';
import { type Flow, makeFlow } from './flow.ts';
import { type Ask, type Job, makeJob } from './job.ts';
import { mixes, staticBatches } from './static-batches.ts';

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
  /** Told of each step of a batch: the requests in it. */
  readonly onBatch?: (requests: number) => void;
  /** Told how many programs are compiled before it takes requests. */
  readonly onCompile?: (done: number, total: number) => void;
  /** Told of each prompt: how many of its tokens had been read before. */
  readonly onKnown?: (tokens: number) => void;
}

/** Answers requests by one base and several adapters, several at a time. */
export interface Engine {
  readonly context: number;
  readonly voices: ReadonlyMap<string, Voice>;
  /** Requests that wait, and that run. */
  load(): { readonly waiting: number; readonly running: number };
  /** Takes a request; throws `QueueFull` where too many wait. */
  ask(ask: Ask): Job;
  /** Vectors of texts, each of length 1: the mean of the last block's states. */
  embed(adapter: string | null, texts: readonly Int32Array[]): Promise<readonly Float32Array[]>;
  /** Adds an adapter, or takes the place of one of its name once its requests have ended. Those of others go on. */
  add(voice: Voice): Promise<void>;
  /** Takes an adapter away: requests that wait for it fail, those that run end first. */
  remove(name: string): Promise<boolean>;
  /** Takes no more requests, finishes those that are there, and frees what it has made. */
  close(): Promise<void>;
}

/** A request came while as many as may wait did. */
export class QueueFull extends Error {}

/** Runs one thing after another. */
const inOrder = (): (<T>(work: () => Promise<T>) => Promise<T>) => {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work, work);
    last = mine.catch(() => {});
    return mine;
  };
};

const nextTurn = (): Promise<void> => new Promise((go) => void setImmediate(go));

/** Resolves once something is so. */
const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await new Promise((go) => setTimeout(go, 5));
};

/**
 * Makes an engine. Requests of the base and of adapters whose prompts can be read in pieces run in one batch that they join and leave as they come and end; those of other adapters
 * run in batches that are done when the last of them is. A row gives what its request alone gives. Compiles what it needs before it takes requests.
 */
export const makeEngine = async ({ base, voices: first }: Tuned, options: EngineOptions): Promise<Engine> => {
  const { executor, context, rows, queue, onBatch, onKnown, onCompile } = options;
  const stop = new Set(options.stop);
  const voices = new Map<string, Voice>(first.map((voice) => [voice.name, voice]));
  const modelOf = (name: string | null): CausalLM => (name === null ? base.model : voices.get(name)!.adapted.model);
  /** Adapters of the flow. */
  let flowing: readonly Voice[] = [];
  const flows = (voice: Voice): boolean => canRun(voice.adapted.model, base.model) && mixes([...flowing, voice]);
  const batches = staticBatches({ executor, context, rows, stop: options.stop, ...(onBatch && { onBatch }) });
  for (const voice of first)
    if (flows(voice)) flowing = [...flowing, voice];
    else await batches.add(voice);
  const flow: Flow = await makeFlow(base.model, flowing, {
    executor,
    context,
    rows,
    stop,
    ...(onBatch && { onStep: onBatch }),
    ...(onKnown && { onKnown }),
    ...(onCompile && { onCompile }),
  });
  const embeddings = embedder(executor);
  const waiting: { readonly flow: Job[]; readonly batches: Job[] } = { flow: [], batches: [] };
  let isClosed = false;
  /** A turn of the flow, or a change of it. */
  const inTurn = inOrder();
  /** A batch, or a change of what they are made of. */
  const inBatch = inOrder();
  const isFlowing = (name: string | null): boolean => name === null || flowing.some((one) => one.name === name);
  const dropDone = (jobs: Job[]): void => {
    for (const job of jobs.filter((one) => one.isDone())) jobs.splice(jobs.indexOf(job), 1);
  };
  const running = (): readonly Job[] => [...flow.running(), ...batches.running()];
  const waitingNow = (): number => waiting.flow.length + waiting.batches.length;

  let isFlowOn = false;
  const keepFlowing = async (): Promise<void> => {
    if (isFlowOn) return;
    isFlowOn = true;
    try {
      while (waiting.flow.length > 0 || flow.isBusy()) {
        await inTurn(async () => {
          dropDone(waiting.flow);
          await flow.turn(waiting.flow);
        });
        // What came in meanwhile is to be seen: requests, and those who are gone.
        await nextTurn();
      }
    } finally {
      isFlowOn = false;
    }
  };
  const runBatch = (): Promise<void> =>
    inBatch(async () => {
      dropDone(waiting.batches);
      if (waiting.batches.length > 0) await batches.run(waiting.batches);
    });

  /** The running requests of an adapter have ended. */
  const ended = (name: string): Promise<void> => until(() => running().every(({ ask }) => ask.adapter !== name));
  const flowBy = async (all: readonly Voice[]): Promise<void> => {
    const put = await flow.prepare(all);
    await inTurn(put);
    flowing = all;
  };
  const drop = async (name: string): Promise<boolean> => {
    const voice = voices.get(name);
    if (!voice) return false;
    voices.delete(name);
    for (const list of [waiting.flow, waiting.batches])
      for (const job of list.filter(({ ask }) => ask.adapter === name)) {
        list.splice(list.indexOf(job), 1);
        job.fail(new PeftError('bad-option', `the adapter ${name} was unloaded`));
      }
    await ended(name);
    await inBatch(() => batches.drop(voice));
    if (isFlowing(name)) await flowBy(flowing.filter((one) => one !== voice));
    await inTurn(async () => {
      embeddings.forget(voice.adapted.model);
      executor.release(voice.adapted.state.values());
    });
    return true;
  };
  /** One change of the adapters after another. */
  const inChange = inOrder();

  return {
    context,
    voices,
    load: () => ({ waiting: waitingNow(), running: running().length }),
    ask: (asked) => {
      if (isClosed || waitingNow() >= queue) throw new QueueFull();
      const job = makeJob(asked);
      if (isFlowing(asked.adapter)) {
        waiting.flow.push(job);
        void keepFlowing();
      } else {
        waiting.batches.push(job);
        void runBatch();
      }
      return job;
    },
    embed: (adapter, texts) => inTurn(() => embeddings.of(modelOf(adapter), texts)),
    add: (voice) =>
      inChange(async () => {
        await drop(voice.name);
        if (flows(voice)) await flowBy([...flowing, voice]);
        else await inBatch(() => batches.add(voice));
        voices.set(voice.name, voice);
      }),
    remove: (name) => inChange(() => drop(name)),
    close: async () => {
      isClosed = true;
      await until(() => waitingNow() === 0 && running().length === 0);
      await inBatch(() => batches.close());
      await inTurn(async () => {
        await flow.close();
        embeddings.close();
      });
    },
  };
};
