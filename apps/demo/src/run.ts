import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { inNewFolder, methods, openDevice, type Report, renderReport, say } from '@peftjs/cli/shared';
import { type Adapted, load, save } from '@peftjs/core';
import { writeFileAtomic } from '@peftjs/io';
import { type Executor, PeftError, sizeOf, type TypedArray } from '@peftjs/tensor';
import {
  allWeights,
  cosine,
  progressLine,
  type Trainable,
  type TrainOptions,
  type TrainResult,
  train,
} from '@peftjs/trainer';
import { type Model, parameters, type TaskModel } from '@peftjs/transformer';
import type { Chosen } from './chosen.ts';
import type { DemoOptions } from './options.ts';
import { checkFinished, finish, unfinishedFile } from './unfinished.ts';

/** Figures that runs of all tasks have. Sizes in bytes. */
export interface RunFigures {
  /** The name of the method. */
  readonly method: string;
  readonly device: string;
  /** Parameters that the adapter trains, and those of the base. */
  readonly trainable: number;
  readonly total: number;
  readonly seconds: number;
  /** Largest resident memory of the process. */
  readonly peakBytes: number;
  readonly adapterBytes: number;
  readonly adapterDir: string;
  /** File of the losses by step. */
  readonly losses: string;
  readonly report: string;
}

/** The name of a training and its highest learning rate. */
export type Named = Pick<Chosen, 'label' | 'learningRate'>;

/** Trains a target until it is done, or goes on with what was cut short. Throws where it is stopped. */
export type TrainIt = (target: Trainable, named: Named) => Promise<TrainResult>;

/** The findings of a run. */
export interface Found {
  readonly tuned: TrainResult;
  /** After training all weights of another copy; null without `--full`. */
  readonly full: TrainResult | null;
  readonly figures: RunFigures;
}

/** A task on a device, ready to be trained. */
export interface DemoTask<R extends RunFigures, M extends TaskModel> {
  readonly adapted: Adapted<M>;
  readonly chosen: Chosen;
  /** Parameters of the base. */
  readonly total: number;
  /** The lines that come first. */
  readonly opening: string;
  /** The name by which an adapter knows its base. */
  readonly baseName: string;
  /** Names and bytes that the run is made of, by which it is found again when it was cut short. */
  readonly madeOf: readonly (string | TypedArray)[];
  readonly training: Pick<TrainOptions, 'data' | 'batchSize' | 'heldOut'>;
  /** The highest learning rate for all weights. */
  readonly fullRate: number;
  /** Another copy of the base, whose weights are all trained. */
  copy(): Promise<M>;
  /** The held-out loss of a model. */
  lossOf(model: M): Promise<number>;
  /** The task's own part, around the training of the adapter: its results, for `--json`, for a report and for a terminal. */
  tell(
    tune: () => Promise<Found>,
    trainIt: TrainIt,
  ): Promise<{ readonly result: R; readonly report: Report; readonly lines: string }>;
}

/** Steps between two states that are written: an adapter is small, all weights are not. */
const [everyStep, everyTenth] = [1, 10];

/** Bytes of all tensor files in a folder. */
const tensorBytes = async (dir: string): Promise<number> => {
  const files = (await readdir(dir, { recursive: true })).filter((file) => file.endsWith('.safetensors'));
  return (await Promise.all(files.map((file) => stat(join(dir, file))))).reduce((n, { size }) => n + size, 0);
};

/** Values of all tensors. */
export const sizesOf = (tensors: Iterable<{ readonly shape: readonly number[] }>): number =>
  [...tensors].reduce((n, t) => n + sizeOf(t.shape), 0);

/** How far a loss may be after loading: an encoder is saved as what it computes, all else to the bit. */
const slack = ({ method }: Adapted<Model>): number => (method.compact ? 1e-4 : 0);

/** Saves, loads it into a view of its own, and measures again: the loss must be the same. */
const saveAndCheck = async <R extends RunFigures, M extends TaskModel>(
  { adapted, baseName, lossOf }: DemoTask<R, M>,
  executor: Executor,
  dir: string,
  tunedLoss: number,
): Promise<void> => {
  await save(adapted, dir, { executor, baseModel: baseName });
  const again = await load(adapted.base, dir, [...methods.values()]);
  const loss = await lossOf(again.model);
  executor.release(again.state.values());
  if (Math.abs(loss - tunedLoss) > slack(adapted))
    throw new PeftError(
      'bad-adapter',
      `${dir}: loaded again the adapter gives loss ${loss}, trained it gave ${tunedLoss}`,
    );
};

const runOn = async <R extends RunFigures, M extends TaskModel>(
  executor: Executor,
  task: DemoTask<R, M>,
  options: DemoOptions,
  dir: string,
  started: number,
): Promise<R> => {
  const { adapted, chosen, training, total } = task;
  const { steps, seed } = options;
  const kept = new Set<string>();
  say(process.stderr, task.opening);
  const trainIt: TrainIt = async (target, named) => {
    const { label, learningRate } = named;
    const file = unfinishedFile(options, task.madeOf, named);
    kept.add(file);
    const result = await train(target, {
      ...training,
      executor,
      steps,
      seed,
      schedule: cosine({ learningRate, steps, warmup: Math.floor(steps / 15) }),
      checkpoint: { file, every: target.method ? everyStep : everyTenth },
      stopOn: ['SIGINT', 'SIGTERM'],
      onStep: progressLine({ label }),
    });
    checkFinished(result, options);
    return result;
  };
  const trainAll = async (): Promise<TrainResult> => {
    const copy = await task.copy();
    try {
      return await trainIt(allWeights(copy), { label: 'all weights', learningRate: task.fullRate });
    } finally {
      executor.release(parameters(copy).values());
    }
  };
  const paths = {
    adapterDir: join(dir, 'adapter'),
    losses: join(dir, 'losses.json'),
    report: join(dir, 'report.html'),
  };
  const tune = async (): Promise<Found> => {
    const tuned = await trainIt(adapted, chosen);
    await saveAndCheck(task, executor, paths.adapterDir, tuned.heldOut.at(-1)!.loss);
    const full = options.full ? await trainAll() : null;
    await writeFileAtomic(paths.losses, `${JSON.stringify({ losses: tuned.losses, heldOut: tuned.heldOut })}\n`);
    const figures = {
      method: chosen.method.name,
      device: executor.name,
      trainable: sizesOf(adapted.params.values()),
      total,
      seconds: (performance.now() - started) / 1000,
      peakBytes: process.resourceUsage().maxRSS * 1024,
      adapterBytes: await tensorBytes(paths.adapterDir),
      ...paths,
    };
    return { tuned, full, figures };
  };
  const { result, report, lines } = await task.tell(tune, trainIt);
  await writeFileAtomic(paths.report, renderReport(report));
  say(process.stdout, lines);
  await Promise.all([...kept].map(finish));
  return result;
};

/** The whole way of a task: opens the device, trains, saves, loads again, reports. Throws `PeftError` for what the user can mend; then nothing is left in the output folder but what goes on. */
export const runTask = async <R extends RunFigures, M extends TaskModel>(
  options: DemoOptions,
  taskOn: (executor: Executor) => Promise<DemoTask<R, M>>,
  started: number,
): Promise<R> => {
  const executor = await openDevice(options.device);
  try {
    return await inNewFolder(options.out, async (dir) =>
      runOn(executor, await taskOn(executor), options, dir, started),
    );
  } finally {
    await executor.close();
  }
};
