import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import { type Executor, PeftError } from '@peftjs/tensor';
import type { Progress, TrainResult } from '@peftjs/trainer';
import { stringify } from 'yaml';
import { isPackaged, shipped } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import { fixed } from '../hub.ts';
import { folderFor, newFolder } from '../output.ts';

/** Names of the files of a run. */
const names = {
  config: 'run.yaml',
  environment: 'environment.json',
  log: 'log.jsonl',
  samples: 'samples.jsonl',
  checkpoint: 'checkpoint.safetensors',
  adapter: 'adapter',
  result: 'result.json',
  report: 'report.html',
} as const;

/** The files of a run. */
export const runFiles = (dir: string): Readonly<Record<keyof typeof names, string>> => ({
  config: join(dir, names.config),
  environment: join(dir, names.environment),
  log: join(dir, names.log),
  samples: join(dir, names.samples),
  checkpoint: join(dir, names.checkpoint),
  adapter: join(dir, names.adapter),
  result: join(dir, names.result),
  report: join(dir, names.report),
});

/** An objective whose teacher is named from the root. */
const withTeacher = (objective: NonNullable<RunConfig['objective']>): NonNullable<RunConfig['objective']> => {
  const { teacher } = objective;
  if (teacher === undefined || isPackaged(teacher as string)) return objective;
  return { ...objective, teacher: fixed(teacher as string) };
};

/** A configuration as it is kept: paths from the root, so that it can be gone on with from anywhere. */
export const settled = (config: RunConfig, steps: number): RunConfig => {
  const { model, data, epochs: _, objective, ...others } = config;
  const { train, heldOut, template } = data;
  return {
    model: model === undefined ? shipped : isPackaged(model) ? model : fixed(model),
    ...others,
    ...(objective && { objective: withTeacher(objective) }),
    steps,
    data: {
      ...data,
      train: train.map(fixed),
      heldOut: typeof heldOut === 'string' ? fixed(heldOut) : heldOut,
      ...(template !== undefined && { template: resolve(template) }),
    },
    out: resolve(config.out),
  };
};

/** The outcome of a run. */
export interface RunResult {
  readonly dir: string;
  readonly adapter: string;
  readonly report: string;
  readonly method: string;
  readonly steps: number;
  readonly loss: number | null;
  /** Before the first step, and after the last. */
  readonly heldOut: readonly [before: number, after: number] | null;
  /** The thing that losses are means over. */
  readonly unit: 'token' | 'example' | 'pair';
  /** Measures of held-out data, such as `accuracy`, before the first step and after the last. */
  readonly measures: Readonly<Record<string, readonly [before: number, after: number]>>;
  readonly trained: number;
  readonly total: number;
  readonly tokensPerSecond: number;
  readonly seconds: number;
  /** Largest resident memory of the process. */
  readonly peakBytes: number;
  readonly device: string;
}

/** The outcome with its losses by step. */
export interface KeptResult extends RunResult {
  readonly curves: Pick<TrainResult, 'losses' | 'heldOut'>;
}

/** Makes a folder for a run, `into` or one that is named by its start, with a number where another run has that name, and writes what it begins with. */
export const beginRun = async (
  config: RunConfig,
  executor: Executor,
  into?: string,
  now: Date = new Date(),
): Promise<string> => {
  await folderFor(into ?? config.out);
  const dir = into ?? (await newFolder(config.out, now));
  const files = runFiles(dir);
  const environment = {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    threads: availableParallelism(),
    memory: totalmem(),
    device: executor.description,
    started: now.toISOString(),
  };
  await writeFile(files.environment, `${JSON.stringify(environment, null, 2)}\n`);
  // Written last: a folder with it is a run.
  await writeFileAtomic(files.config, stringify(config, { lineWidth: 120 }));
  return dir;
};

/** A step in the log of a run. */
export interface LoggedStep
  extends Pick<Progress, 'step' | 'loss' | 'gradNorm' | 'learningRate' | 'tokensPerSecond' | 'heldOutLoss'> {
  /** Memory that the process had resident. */
  readonly residentBytes: number;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** An answer of the model after so many steps, to the same prompt each time. */
export interface LoggedSample {
  readonly step: number;
  readonly prompt: string;
  readonly text: string;
}

const addLine = (file: string, line: LoggedStep | LoggedSample): Promise<void> =>
  appendFile(file, `${JSON.stringify(line)}\n`);

/** Adds a step to the log of a run. */
export const logStep = (dir: string, progress: Progress): Promise<void> => {
  const { step, loss, gradNorm, learningRate, tokensPerSecond, heldOutLoss } = progress;
  const residentBytes = process.memoryUsage.rss();
  const own = { step, loss, gradNorm, learningRate, tokensPerSecond, heldOutLoss, residentBytes, time: Date.now() };
  return addLine(runFiles(dir).log, own);
};

/** Adds a sample to those of a run. */
export const logSample = (dir: string, sample: LoggedSample): Promise<void> => addLine(runFiles(dir).samples, sample);

/**
 * The lines of a file, by step: of a step that was made twice, before a run was stopped and after, the last. A line that was cut off as the process ended is left out.
 */
const bySteps = async <T extends { readonly step: number }>(file: string): Promise<readonly T[]> => {
  const text = await readFile(file, 'utf8').catch(() => '');
  const found = new Map<number, T>();
  for (const line of text.split('\n')) {
    try {
      if (line !== '') {
        const own = JSON.parse(line) as T;
        found.set(own.step, own);
      }
    } catch {}
  }
  return [...found.values()].sort((a, b) => a.step - b.step);
};

/** The steps of a run as they were logged. */
export const loggedSteps = (dir: string): Promise<readonly LoggedStep[]> => bySteps(runFiles(dir).log);

/** The samples of a run. */
export const loggedSamples = (dir: string): Promise<readonly LoggedSample[]> => bySteps(runFiles(dir).samples);

/** The result of a run that is at its end, as `result.json` holds it; null of one that is not. */
export const resultOf = async (dir: string): Promise<KeptResult | null> => {
  try {
    return JSON.parse(await readFile(runFiles(dir).result, 'utf8'));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new PeftError('bad-data', `${runFiles(dir).result}: can't be read: ${(cause as Error).message}`, { cause });
  }
};
