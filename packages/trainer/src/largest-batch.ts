import { chain, lossRules } from '@peftjs/core';
import { checkOptions, type Executor, mustBe, type OnExecutor, onExecutor, PeftError, type Plan } from '@peftjs/tensor';
import { adamw } from './optimizers/adamw.ts';
import { clip } from './optimizers/clip.ts';
import type { BatchSpec } from './programs.ts';
import { makeTrainStep, type TrainStepOptions } from './train-step.ts';
import type { Trainable } from './trainable.ts';

/** The step whose memory is planned, and the memory that there is. */
export interface LargestBatchOptions
  extends OnExecutor,
    Partial<Pick<TrainStepOptions, 'optimizer' | 'objective' | 'recompute'>> {
  /** Columns of a batch of so many rows; or the length of its rows, for `ids` and `labels` of so many tokens. */
  readonly columns: number | ((rows: number) => BatchSpec);
  /** Bytes. Default, on the CPU: nine tenths of what the system has left. */
  readonly limit?: number;
  /** Rows, at most. Default 1024. */
  readonly most?: number;
}

/** The most rows that fit. */
export interface LargestBatch {
  readonly batchSize: number;
  /** Planned peak of a step with so many, weights and optimiser included. */
  readonly peakBytes: number;
  readonly limit: number;
}

const tokensOf =
  (context: number) =>
  (rows: number): BatchSpec => {
    const shape = { shape: [rows, context], dtype: 'i32' as const };
    return { ids: shape, labels: shape };
  };

/** Memory for what is not there yet. A page has no `process`, and no browser says how much a GPU has. */
const memoryLeft = (executor: Executor): number | null =>
  executor.name === 'cpu' && typeof process === 'object' && 'availableMemory' in process
    ? 0.9 * (process.availableMemory() + executor.memory().now)
    : null;

/** The planned peak of a step: compiled, never run. */
const plannedPeak = async (
  target: Trainable,
  inputs: BatchSpec,
  { executor, optimizer = chain(clip(1), adamw()), objective, recompute = false }: LargestBatchOptions,
): Promise<number> => {
  const plans: Plan[] = [];
  const planning: Executor = {
    ...executor,
    compile: async (program) => {
      const executable = await executor.compile(program);
      plans.push(executable.plan);
      return executable;
    },
  };
  const step = await makeTrainStep(target, {
    executor: planning,
    optimizer,
    recompute,
    inputs,
    ...(objective && { objective }),
  });
  step.close();
  return Math.max(...plans.map((plan) => plan.peakBytes));
};

const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20).toLocaleString('en-US')} MiB`;

/**
 * Finds the largest batch whose training step fits into memory, by its plan before anything has run: the peak of a step is known once it is compiled. Memory grows
 * with the rows along a line, so that a few compilations are enough. Throws `out-of-memory` where one row is too much, `bad-option` where no limit is known.
 */
export const largestBatch = async (target: Trainable, options: LargestBatchOptions): Promise<LargestBatch> => {
  checkOptions(
    'largestBatch',
    {
      ...onExecutor,
      columns: mustBe.given(
        mustBe.such('a number of tokens or a function', (v) => typeof v === 'function' || mustBe.count.accepts(v)),
      ),
      limit: mustBe.bytes,
      most: mustBe.count,
      optimizer: mustBe.object,
      objective: mustBe.fn,
      recompute: lossRules.recompute,
    },
    options,
  );
  const { executor, columns, most = 1024 } = options;
  const limit = options.limit ?? memoryLeft(executor);
  if (limit === null)
    throw new PeftError(
      'bad-option',
      `largestBatch: limit is missing, and ${executor.name} doesn't tell how much memory it has; give bytes: limit: 8 * 2 ** 30`,
    );
  const specOf = typeof columns === 'number' ? tokensOf(columns) : columns;
  const peakOf = (rows: number): Promise<number> => plannedPeak(target, specOf(rows), options);
  let fits = { rows: 1, peak: await peakOf(1) };
  if (fits.peak === 0)
    throw new PeftError('bad-option', `largestBatch: ${executor.name} plans no memory; take cpu() or webgpu()`);
  if (fits.peak > limit)
    throw new PeftError(
      'out-of-memory',
      `largestBatch: a step of one row takes ${mib(fits.peak)}, there are ${mib(limit)}; shorten the rows, take recompute: true, or a base of fewer bits`,
    );
  let [above, slope] = [most + 1, Number.POSITIVE_INFINITY];
  while (fits.rows + 1 < above) {
    const guess = fits.rows + Math.floor((limit - fits.peak) / slope);
    const rows = Math.min(above - 1, Math.max(fits.rows + 1, guess));
    const peak = await peakOf(rows);
    if (peak > fits.peak) slope = (peak - fits.peak) / (rows - fits.rows);
    if (peak > limit) above = rows;
    else fits = { rows, peak };
  }
  return { batchSize: fits.rows, peakBytes: fits.peak, limit };
};
