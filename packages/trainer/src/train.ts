import { type Between, chain, type GradientTransform, makeBetween } from '@peftjs/core';
import type { TokenRows } from '@peftjs/data';
import { type Executor, PeftError } from '@peftjs/tensor';
import { trainingBatches } from './batches.ts';
import { type CheckpointOptions, checkIntervals } from './checkpoint.ts';
import { type Evaluator, makeEvaluator } from './evaluate-loss.ts';
import { adamw } from './optimizers/adamw.ts';
import { clip } from './optimizers/clip.ts';
import { makePace } from './pace.ts';
import type { Batch } from './pack.ts';
import { type Log, makeSafe } from './safe.ts';
import type { Schedule } from './schedule.ts';
import { makeTrainStep } from './train-step.ts';
import type { Trainable } from './trainable.ts';

/** How to train. */
export interface TrainOptions {
  readonly executor: Executor;
  readonly data: TokenRows;
  /** Optimiser steps. */
  readonly steps: number;
  /** Rows per micro-batch. */
  readonly batchSize: number;
  readonly schedule: Schedule;
  /** Default `chain(clip(1), adamw())`. */
  readonly optimizer?: GradientTransform;
  /** Micro-batches per step. Default 1. */
  readonly accumulate?: number;
  /** Seed of the order of the data and of dropout. Default 0. */
  readonly seed?: number;
  /** Rows to measure the loss on, before the first step, every `every` steps and after the last. */
  readonly heldOut?: { readonly data: TokenRows; readonly every: number; readonly batchSize?: number };
  /**
   * Where the run is kept, so that it can go on after it was cut short: with the same options it ends with the same weights. When something
   * fails on the way, the state before that is written too.
   */
  readonly checkpoint?: CheckpointOptions;
  /** Called for every step, once its loss is known. */
  readonly onStep?: (progress: Progress) => void;
  /**
   * Steps whose losses are brought back at once. The device is never waited for in between, so what goes wrong shows up to so many steps
   * late. Default: 1 on the CPU, where they are there anyway, 10 on WebGPU.
   */
  readonly readEvery?: number;
  /**
   * A step whose loss or gradient is not finite is skipped, on the device: weights, optimiser and statistics stay as they were, and the next
   * batch may be better. More of them than this in a row end the run with `diverged`. Default 4; 0 ends it at the first.
   */
  readonly maxSkipped?: number;
  /** Ends the run after the current step, with a checkpoint where there is one; what was trained stays. */
  readonly signal?: AbortSignal;
}

/** Where a run stands. */
export interface Progress {
  /** Steps done. */
  readonly step: number;
  readonly steps: number;
  /** No number, perhaps, where the step was skipped. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  /** Steps so far that were skipped, see `maxSkipped`. */
  readonly skipped: number;
  /** Over the last steps, evaluation apart. */
  readonly tokensPerSecond: number;
  /** Seconds until the end at this pace. */
  readonly eta: number;
  /** The newest held-out loss. */
  readonly heldOutLoss: number | null;
}

/** Losses by step, for curves: finite ones. */
export interface TrainResult {
  readonly losses: readonly {
    readonly step: number;
    readonly loss: number;
    readonly learningRate: number;
    readonly gradNorm: number;
  }[];
  readonly heldOut: readonly { readonly step: number; readonly loss: number }[];
  /** The steps that were skipped, because their loss or gradient was not finite. */
  readonly skipped: readonly number[];
  /** Labelled tokens per second of training, evaluation and the first step (warm-up of the device) apart. */
  readonly tokensPerSecond: number;
  readonly seconds: number;
}

const diverged = (first: number, { step, loss, gradNorm, learningRate }: TrainResult['losses'][number]): PeftError =>
  new PeftError(
    'diverged',
    `train: the loss is ${loss} and the gradient's norm ${gradNorm} at step ${step} (learning rate ${learningRate.toExponential(2)})` +
      `${first < step ? `, and since step ${first} no step was finite` : ''}; lower the learning rate or lengthen the warm-up. ` +
      'The weights are those before that.',
  );

interface Waiting {
  readonly step: number;
  readonly learningRate: number;
  readonly tokens: number;
}

const checkWhole = (name: string, value: number, least: number): void => {
  if (!Number.isSafeInteger(value) || value < least)
    throw new PeftError('bad-option', `train: ${name} must be a whole number of at least ${least}, got ${value}`);
};

/**
 * Trains: batches in seeded order, gradients, clipping, AdamW, with the loss of every step recorded. Throws `diverged` when loss or gradient
 * are not finite any more. Whatever else ends it (`device-lost`, `out-of-memory`, …) is told with the step, after the last good state has been
 * written where there is a `checkpoint`.
 */
export const train = async (target: Trainable, options: TrainOptions): Promise<TrainResult> => {
  const {
    executor,
    data,
    steps,
    batchSize,
    schedule,
    optimizer = chain(clip(1), adamw()),
    accumulate = 1,
    seed = 0,
    heldOut,
    checkpoint,
    onStep,
    readEvery = executor.name === 'webgpu' ? 10 : 1,
    maxSkipped = 4,
    signal,
  } = options;
  checkWhole('readEvery', readEvery, 1);
  checkWhole('maxSkipped', maxSkipped, 0);
  if (checkpoint) checkIntervals(checkpoint);
  const started = performance.now();
  const step = await makeTrainStep(target, { executor, optimizer, batchSize, context: data.context, accumulate, seed });
  const batches = trainingBatches(data, batchSize, seed);
  const losses: TrainResult['losses'][number][] = [];
  const evaluated: TrainResult['heldOut'][number][] = [];
  const skipped: number[] = [];
  const rewarmed: Log['rewarmed'] = [];
  const kept = [...target.state.values(), ...target.running.values(), ...[...step.state.values()].flat()];
  const safe = makeSafe(
    kept,
    { losses, evaluated, skipped, rewarmed },
    { executor, steps, readEvery, ...(checkpoint && { checkpoint }) },
  );
  const pace = makePace();
  const waiting: Waiting[] = [];
  let evaluator: Evaluator | undefined;
  /** Steps skipped since the last that was not. */
  let inRow = 0;
  /** The schedule's rate, less as long as a decision lets it grow anew. */
  const rateAt = (i: number): number => {
    const { after, steps: over } = rewarmed.findLast((r) => r.after <= i) ?? { after: 0, steps: 0 };
    const rate = schedule(i) * Math.min(1, i < after + over ? (i - after + 1) / over : 1);
    if (Number.isFinite(rate) && rate >= 0) return rate;
    throw new PeftError(
      'bad-option',
      `train: the schedule gives ${rate} for step ${i} (they are counted from 0 to ${steps - 1}); a rate is a finite number of at least 0`,
    );
  };
  const between = (after: number): Between =>
    makeBetween({
      executor,
      params: target.params.values(),
      state: step.state,
      rewarm: (over) => void rewarmed.push({ after, steps: over }),
    });
  const nextBatches = (): Batch[] => Array.from({ length: accumulate }, () => batches.next().value);
  const measure = async (at: number): Promise<void> => {
    if (evaluator) evaluated.push({ step: at, loss: (await evaluator.run()).loss });
  };
  /** Waits for the steps under way and records their losses. */
  const settle = async (): Promise<TrainResult['losses']> => {
    const results = await step.results();
    const done = waiting.splice(0);
    pace.read(done);
    const settled = results.map(({ loss, gradNorm, finite }, i) => {
      const { step: at, learningRate } = done[i]!;
      return { finite, told: { step: at + 1, loss, learningRate, gradNorm } };
    });
    for (const { finite, told } of settled) {
      safe.reach(1);
      if (finite) losses.push(told);
      else skipped.push(told.step);
      inRow = finite ? 0 : inRow + 1;
      if (inRow > maxSkipped || (inRow > 0 && losses.length === 0 && told.step === steps))
        throw diverged(told.step - inRow + 1, told);
    }
    return settled.map(({ told }) => told);
  };
  const report = (settled: TrainResult['losses']): void => {
    for (const done of settled)
      onStep?.({
        ...done,
        steps,
        skipped: skipped.length,
        tokensPerSecond: pace.recent(),
        eta: (steps - done.step) * pace.secondsPerStep(),
        heldOutLoss: evaluated.at(-1)?.loss ?? null,
      });
  };
  try {
    evaluator = heldOut && (await makeEvaluator(target.model, heldOut.data, executor, heldOut.batchSize ?? batchSize));
    const first = await safe.open();
    for (let i = 0; i < first; i++) nextBatches();
    if (first === 0) await measure(0);
    for (let i = first; i < steps; i++) {
      const micro = nextBatches();
      pace.start();
      const learningRate = rateAt(i);
      safe.begin(i + 1);
      await step.run(i, learningRate, micro);
      waiting.push({ step: i, learningRate, tokens: micro.reduce((n, b) => n + b.tokens, 0) });
      if (target.decision?.due(i + 1)) await safe.whole(() => target.decision!.run(i + 1, between(i + 1)));
      const isLast = i + 1 === steps;
      const measures = heldOut !== undefined && ((i + 1) % heldOut.every === 0 || isLast);
      if (!(isLast || measures || safe.isDue(i + 1) || signal?.aborted || waiting.length >= readEvery)) continue;
      const settled = await settle();
      if (measures) await measure(i + 1);
      report(settled);
      const ends = signal?.aborted ?? false;
      // What is about to diverge must not take the place of what was good.
      if (inRow === 0 || ends) await safe.keep(ends);
      if (ends) break;
    }
  } catch (error) {
    throw await safe.rescue(error, settle);
  } finally {
    step.close();
    evaluator?.close();
    safe.close();
  }
  return {
    losses,
    heldOut: evaluated,
    skipped,
    tokensPerSecond: pace.overall(),
    seconds: (performance.now() - started) / 1000,
  };
};
