import { type Adapted, attach } from '@peftjs/core';
import { type Batch, fromArray, pipe, repeat } from '@peftjs/data';
import type { Tokenizer } from '@peftjs/io';
import { type Executor, randomSource } from '@peftjs/tensor';
import { train } from '@peftjs/trainer';
import type { CausalLM } from '@peftjs/transformer';
import { measure, type Score } from './measure.ts';
import type { How, Unnamed } from './methods.ts';
import { inDisorder } from './suite/passages.ts';
import { batchOf, type Row, rowOf } from './suite/rows.ts';
import type { Suite } from './suite/tasks.ts';

/** How long everything is trained. */
export interface Settings {
  /** Steps on all tasks together; one task alone has its share of them. */
  readonly steps: number;
  /** Steps on the few examples of the left-out task. */
  readonly fewSteps: number;
  /** Rows of a batch. */
  readonly batchSize: number;
  /** Examples of each task that it is measured on. */
  readonly tests: number;
}

/** The things that trials share. */
export interface Bench {
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  readonly suite: Suite;
  readonly settings: Settings;
}

/** Training and measuring by one seed. */
export interface Training {
  /** The numbers of the tasks that are trained together; the left-out one has the number after them. */
  readonly every: readonly number[];
  readonly few: number;
  /** Batches of a task's training examples, in their order. */
  batches(task: number, tasked: boolean): readonly Batch[];
  /** Trains on examples of some tasks, mixed, and gives the adapter back. */
  trained(adapted: Adapted, tasks: readonly number[], steps: number, how: How): Promise<Adapted>;
  /** An adapter of each task, from the same first values. */
  ofEach(own: Unnamed): Promise<Adapted[]>;
  scores(adapted: Adapted, tasks: readonly number[], how: How): Promise<Record<string, Score>>;
  /** Trains on the few examples of the left-out task, and measures it. */
  fewShot(adapted: Adapted, how: How): Promise<Score>;
}

const batchesOf = (rows: readonly Row[], size: number, tasked: boolean): Batch[] =>
  Array.from({ length: Math.floor(rows.length / size) }, (_, i) =>
    batchOf(rows.slice(i * size, (i + 1) * size), tasked, false),
  );

/** Makes the training of one seed. */
export const makeTraining = ({ model, tokenizer, executor, suite, settings }: Bench, seed: number): Training => {
  const { steps, fewSteps, batchSize } = settings;
  const every = suite.tasks.map((_, i) => i);
  const few = suite.tasks.length;
  const rowsOf = (task: number, part: 'train' | 'test'): Row[] =>
    (suite.tasks[task] ?? suite.leftOut)[part].map((example) => rowOf(example, task, tokenizer));
  const trained: Training['trained'] = async (adapted, tasks, count, { rate, tasked }) => {
    const rows = tasks.flatMap((task) => rowsOf(task, 'train'));
    const random = randomSource(seed, 'order');
    const epochs = Math.ceil((count * batchSize) / rows.length);
    const all = Array.from({ length: epochs }, () => inDisorder(rows, random)).flat();
    const data = pipe(fromArray(batchesOf(all, batchSize, tasked)), repeat());
    const schedule = { name: 'cosine', learningRate: rate, warmupShare: 0.06 } as const;
    await train(adapted, { executor, data, steps: count, seed, schedule });
    return adapted;
  };
  const scores: Training['scores'] = (adapted, tasks, { tasked }) => {
    const sets = tasks.map((task) => [
      (suite.tasks[task] ?? suite.leftOut).name,
      batchesOf(rowsOf(task, 'test'), batchSize, tasked),
    ]);
    return measure(adapted.model, Object.fromEntries(sets), executor);
  };
  return {
    every,
    few,
    batches: (task, tasked) => batchesOf(rowsOf(task, 'train'), batchSize, tasked),
    trained,
    scores,
    ofEach: async ({ method, ...how }) => {
      const all: Adapted[] = [];
      for (const task of every)
        all.push(await trained(attach(model, [method], { seed }), [task], Math.round(steps / every.length), how));
      return all;
    },
    fewShot: async (adapted, how) => {
      await trained(adapted, [few], fewSteps, how);
      return (await scores(adapted, [few], how))[suite.leftOut.name]!;
    },
  };
};
