import { type Adapted, attach, averageAdapters, type Method } from '@peftjs/core';
import { type Batch, fromArray, pipe, repeat } from '@peftjs/data';
import type { Tokenizer } from '@peftjs/io';
import { lLora, lora, loraHub } from '@peftjs/lora';
import { type Executor, randomSource } from '@peftjs/tensor';
import { train } from '@peftjs/trainer';
import type { CausalLM } from '@peftjs/transformer';
import { measure, type Score } from './measure.ts';
import { contestants, parametersOf, rankOfOne } from './methods.ts';
import { inDisorder } from './suite/passages.ts';
import { batchOf, type Row, rowOf } from './suite/rows.ts';
import type { Example, Suite } from './suite/tasks.ts';

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

/** A method in one run: a line of the record. */
export interface Trial extends Settings {
  readonly method: string;
  readonly seed: number;
  /** Trained values, of all tasks together. */
  readonly parameters: number;
  readonly seconds: number;
  /** Scores on the tasks that it was trained on, by name. */
  readonly tasks: Readonly<Record<string, Score>>;
  /** On the task that was left out, after a few steps on its few examples. */
  readonly transfer: Score;
}

/** The things that trials share. */
export interface Bench {
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  readonly executor: Executor;
  readonly suite: Suite;
  readonly settings: Settings;
}

const single = 'lora for each task';
const arithmetic = 'lLora for each task, summed';
const hub = 'loraHub of those of lora';

/** The names of all methods, in the order of the trials of one seed. */
export const trialNames = ({ model, suite }: Bench): readonly string[] => [
  single,
  ...contestants(model, suite.tasks.length + 1).map(({ name }) => name),
  arithmetic,
];

const batches = (rows: readonly Row[], size: number, tasked: boolean): Batch[] =>
  Array.from({ length: Math.floor(rows.length / size) }, (_, i) =>
    batchOf(rows.slice(i * size, (i + 1) * size), tasked, false),
  );

/** Makes the trials of one seed. */
export const makeTrials = (bench: Bench, seed: number): ((name: string) => Promise<readonly Trial[]>) => {
  const { model, tokenizer, executor, suite, settings } = bench;
  const { steps, fewSteps, batchSize } = settings;
  const few = suite.tasks.length;
  const rowsOf = (examples: readonly Example[], task: number): Row[] =>
    examples.map((example) => rowOf(example, task, tokenizer));
  const ofTask = (task: number, part: 'train' | 'test'): Row[] =>
    rowsOf((suite.tasks[task] ?? suite.leftOut)[part], task);
  const trained = async (
    adapted: Adapted,
    rows: readonly Row[],
    count: number,
    how: { rate: number; tasked: boolean },
  ): Promise<Adapted> => {
    const random = randomSource(seed, 'order');
    const epochs = Math.ceil((count * batchSize) / rows.length);
    const all = Array.from({ length: epochs }, () => inDisorder(rows, random)).flat();
    const data = pipe(fromArray(batches(all, batchSize, how.tasked)), repeat());
    const schedule = { name: 'cosine', learningRate: how.rate, warmupShare: 0.06 } as const;
    await train(adapted, { executor, data, steps: count, seed, schedule });
    return adapted;
  };
  const tests = (tasks: readonly number[], tasked: boolean): Record<string, Batch[]> =>
    Object.fromEntries(
      tasks.map((task) => [
        (suite.tasks[task] ?? suite.leftOut).name,
        batches(ofTask(task, 'test'), batchSize, tasked),
      ]),
    );
  const every = suite.tasks.map((_, i) => i);
  const trial = (
    method: string,
    parameters: number,
    from: number,
    tasks: Record<string, Score>,
    transfer: Score,
  ): Trial => ({
    method,
    seed,
    ...settings,
    parameters,
    seconds: Math.round((performance.now() - from) / 1000),
    tasks,
    transfer,
  });
  const fewShot = async (adapted: Adapted, how: { rate: number; tasked: boolean }): Promise<Score> => {
    await trained(adapted, ofTask(few, 'train'), fewSteps, how);
    return (await measure(adapted.model, tests([few], how.tasked), executor))[suite.leftOut.name]!;
  };
  /** An adapter of each task, from the same first values. */
  const ofEach = async (method: Method, how: { rate: number; tasked: boolean }): Promise<Adapted[]> => {
    const all: Adapted[] = [];
    for (const task of every)
      all.push(
        await trained(attach(model, [method], { seed }), ofTask(task, 'train'), Math.round(steps / every.length), how),
      );
    return all;
  };
  const ofSingles = async (): Promise<readonly Trial[]> => {
    const from = performance.now();
    const method = lora({ rank: rankOfOne });
    const how = { rate: 5e-3, tasked: false };
    const adapters = await ofEach(method, how);
    const scores: Record<string, Score> = {};
    for (const task of every)
      Object.assign(scores, await measure(adapters[task]!.model, tests([task], false), executor));
    const parameters = (few + 1) * parametersOf(model, method);
    const alone = trial(single, parameters, from, scores, await fewShot(attach(model, [method], { seed }), how));
    const again = performance.now();
    const data = batches(ofTask(few, 'train'), batchSize, false);
    const { adapted } = await loraHub(adapters, { executor, data, evaluations: 20 });
    const transfer = (await measure(adapted.model, tests([few], false), executor))[suite.leftOut.name]!;
    return [alone, trial(hub, parameters, again, {}, transfer)];
  };
  /** Task arithmetic: the factor is the one of four with the least loss on some of the training examples. */
  const ofSum = async (): Promise<Trial> => {
    const from = performance.now();
    const method = lLora({ rank: 5 });
    const how = { rate: 1e-2, tasked: false };
    const adapters = await ofEach(method, how);
    const known = {
      all: every.flatMap((task) => batches(ofTask(task, 'train').slice(0, batchSize), batchSize, false)),
    };
    let best: { readonly loss: number; readonly adapted: Adapted } | null = null;
    for (const factor of [0.2, 0.4, 0.7, 1]) {
      const weights = adapters.map(() => factor);
      const adapted = await averageAdapters(adapters, { executor, weights, normalize: false });
      const { loss } = (await measure(adapted.model, known, executor))['all']!;
      if (!best || loss < best.loss) best = { loss, adapted };
    }
    const scores = await measure(best!.adapted.model, tests(every, false), executor);
    const parameters = (few + 1) * parametersOf(model, method);
    return trial(arithmetic, parameters, from, scores, await fewShot(best!.adapted, how));
  };
  return async (name) => {
    if (name === single) return ofSingles();
    if (name === arithmetic) return [await ofSum()];
    const from = performance.now();
    const { method, ...how } = contestants(model, few + 1).find((one) => one.name === name)!;
    const rows = every.flatMap((task) => ofTask(task, 'train'));
    const adapted = await trained(attach(model, [method], { seed }), rows, steps, how);
    const scores = await measure(adapted.model, tests(every, how.tasked), executor);
    return [trial(name, parametersOf(model, method), from, scores, await fewShot(adapted, how))];
  };
};
