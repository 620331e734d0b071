import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Adapted, save } from '@peftjs/core';
import { type ClassData, endless, streamOf } from '@peftjs/demo/classes';
import { writeSafetensors } from '@peftjs/io';
import type { Executor } from '@peftjs/tensor';
import { cosine, type Trainable } from '@peftjs/trainer';
import { loadModel } from '@peftjs/transformer';
import { paths } from '../paths.ts';
import { type Classifier, type ClassTask, type Contender, type Peer, warmupOf } from './class-task.ts';
import { lineByLine } from './line-by-line.ts';
import { firstSteps, type Job, type Tuned } from './tune.ts';

/** The Python of a peer. */
const pythonOf = (peers: string, peer: Peer): string =>
  join(peers, peer === 'adapters' ? 'adapters' : 'python', 'bin/python');

/** Why a peer is left out; null where it is there. */
export const missingPeer = (peers: string, peer: Peer): string | null =>
  existsSync(pythonOf(peers, peer)) ? null : `${pythonOf(peers, peer)} is not there; pnpm bench --setup`;

type Rows = Record<string, readonly number[]>;

/** So many batches of a stream, as lists of numbers. */
const batchesOf = async (stream: ReturnType<typeof streamOf>, most: number): Promise<Rows[]> => {
  const all: Rows[] = [];
  for await (const { columns } of stream.open()) {
    all.push(Object.fromEntries(Object.entries(columns).map(([name, v]) => [name, [...(v as Iterable<number>)]])));
    if (all.length === most) break;
  }
  return all;
};

/** The first values: as a folder of Hugging Face PEFT, or the trained tensors by their names. */
const writeFirst = async (
  { peer, changesBase = false }: Contender,
  target: Trainable,
  model: Classifier,
  dir: string,
  executor: Executor,
): Promise<void> => {
  if (peer === 'peft') {
    await save(target as Adapted<Classifier>, join(dir, 'adapter'), { executor, baseModel: 'base' });
    return;
  }
  // Of all weights a peer reads those of the file itself; the head is new.
  const isTold = (name: string): boolean =>
    !changesBase || model.trainedHeads.some((head) => name.startsWith(`${head}.`));
  const told = [...target.params].filter(([name]) => isTold(name));
  const tensors = await Promise.all(
    told.map(
      async ([name, v]) => [name, { dtype: 'F32', shape: v.shape, data: await executor.read(v) } as const] as const,
    ),
  );
  await writeSafetensors(join(dir, 'first.safetensors'), new Map(tensors));
};

/** Writes what a peer needs for a training. */
const writeJob = async (
  task: ClassTask,
  contender: Contender,
  data: ClassData,
  { learningRate, seed }: Job,
  { dir, threads, executor }: { readonly dir: string; readonly threads: number; readonly executor: Executor },
): Promise<void> => {
  await mkdir(dir);
  const { steps, batchSize } = task;
  const model = await loadModel(data.dir, { task: data.task, seed, newHead: true });
  await writeFirst(contender, contender.make(model, seed), model, dir, executor);
  const schedule = cosine({ learningRate, steps, warmup: warmupOf(task) });
  const job = {
    peer: contender.peer,
    whole: contender.changesBase ?? false,
    model: data.dir,
    labels: data.labels.length,
    width: data.length,
    first: firstSteps,
    threads,
    rates: Array.from({ length: steps }, (_, i) => schedule(i, [])),
    train: await batchesOf(endless(data, seed, batchSize), steps),
    test: await batchesOf(streamOf(data, data.test, batchSize), Number.POSITIVE_INFINITY),
  };
  await writeFile(join(dir, 'job.json'), JSON.stringify(job));
};

/** Trains in a peer, all jobs in one process; `told` gets each outcome as it is there. */
export const tuneInPeer = async (
  task: ClassTask,
  contender: Contender,
  data: ClassData,
  jobs: readonly Job[],
  { threads, executor }: { readonly threads: number; readonly executor: Executor },
  told: (outcome: Tuned, i: number) => Promise<void>,
): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'peftjs-classes-'));
  try {
    const dirs = jobs.map((_, i) => join(folder, String(i)));
    for (const [i, job] of jobs.entries())
      await writeJob(task, contender, data, job, { dir: dirs[i]!, threads, executor });
    const command = [pythonOf(paths.peers, contender.peer!), join(paths.source, 'peers/classify.py'), ...dirs];
    await lineByLine(command, (line, i) => told(JSON.parse(line) as Tuned, i));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
