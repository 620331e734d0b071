import { type Executor, PeftError } from '@peftjs/tensor';
import { trainingBatches } from './batches.ts';
import { type CheckpointOptions, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { makeEvaluator } from './evaluate-loss.ts';
import { adamw, type Optimizer } from './optimizer.ts';
import type { Batch, TokenRows } from './pack.ts';
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
  /** Default `adamw()`. */
  readonly optimizer?: Optimizer;
  /** Micro-batches per step. Default 1. */
  readonly accumulate?: number;
  /** Seed of the order of the data and of dropout. Default 0. */
  readonly seed?: number;
  /** Rows to measure the loss on, before the first step, every `every` steps and after the last. */
  readonly heldOut?: { readonly data: TokenRows; readonly every: number; readonly batchSize?: number };
  /** Where the run is kept, so that it can go on after it was cut short: with the same options it ends with the same weights. */
  readonly checkpoint?: CheckpointOptions;
  /** Called after every step. */
  readonly onStep?: (progress: Progress) => void;
  /** Ends the run after the current step; what was trained stays. */
  readonly signal?: AbortSignal;
}

/** Where a run stands. */
export interface Progress {
  /** Steps done. */
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  /** Over the last steps, evaluation apart. */
  readonly tokensPerSecond: number;
  /** Seconds until the end at this pace. */
  readonly eta: number;
  /** The newest held-out loss. */
  readonly heldOutLoss: number | null;
}

/** Losses by step, for curves. */
export interface TrainResult {
  readonly losses: readonly {
    readonly step: number;
    readonly loss: number;
    readonly learningRate: number;
    readonly gradNorm: number;
  }[];
  readonly heldOut: readonly { readonly step: number; readonly loss: number }[];
  /** Labelled tokens per second of training, evaluation and the first step (warm-up of the device) apart. */
  readonly tokensPerSecond: number;
  readonly seconds: number;
}

interface Log {
  readonly losses: TrainResult['losses'][number][];
  readonly evaluated: TrainResult['heldOut'][number][];
}

const checkFinite = (step: number, loss: number, learningRate: number): void => {
  if (!Number.isFinite(loss))
    throw new PeftError(
      'diverged',
      `train: the loss is ${loss} at step ${step + 1} (learning rate ${learningRate.toExponential(2)}); lower the learning rate or lengthen the warm-up`,
    );
};

/**
 * Trains: batches in seeded order, gradients, clipping, AdamW, with the loss of every step recorded. Throws `diverged` when the loss is no
 * longer a number.
 */
export const train = async (target: Trainable, options: TrainOptions): Promise<TrainResult> => {
  const {
    executor,
    data,
    steps,
    batchSize,
    schedule,
    optimizer = adamw(),
    accumulate = 1,
    seed = 0,
    heldOut,
    checkpoint,
    onStep,
    signal,
  } = options;
  const started = performance.now();
  const step = await makeTrainStep(target, { executor, optimizer, batchSize, context: data.context, accumulate, seed });
  const evaluator =
    heldOut && (await makeEvaluator(target.model, heldOut.data, executor, heldOut.batchSize ?? batchSize));
  const batches = trainingBatches(data, batchSize, seed);
  const kept = [...target.state.values(), ...target.running.values(), ...optimizer.state];
  const restored = checkpoint && (await readCheckpoint<Log>(checkpoint.file, kept, executor));
  const { losses, evaluated }: Log = restored?.log ?? { losses: [], evaluated: [] };
  const pace = makePace();
  const nextBatches = (): Batch[] => Array.from({ length: accumulate }, () => batches.next().value);
  const measure = async (at: number): Promise<void> => {
    if (evaluator) evaluated.push({ step: at, loss: (await evaluator.run()).loss });
  };
  try {
    const first = restored?.step ?? 0;
    for (let i = 0; i < first; i++) nextBatches();
    if (first === 0) await measure(0);
    for (let i = first; i < steps && !signal?.aborted; i++) {
      const learningRate = schedule(i);
      const micro = nextBatches();
      const begun = performance.now();
      const { loss, gradNorm } = await step.run(i, learningRate, micro);
      pace.add(
        micro.reduce((n, b) => n + b.tokens, 0),
        (performance.now() - begun) / 1000,
      );
      checkFinite(i, loss, learningRate);
      if (target.decision?.due(i + 1)) await target.decision.run(i + 1, executor);
      losses.push({ step: i + 1, loss, learningRate, gradNorm });
      if (heldOut && ((i + 1) % heldOut.every === 0 || i + 1 === steps)) await measure(i + 1);
      if (checkpoint && (i + 1) % checkpoint.every === 0)
        await writeCheckpoint(checkpoint.file, kept, executor, { step: i + 1, log: { losses, evaluated } });
      onStep?.({
        step: i + 1,
        steps,
        loss,
        gradNorm,
        learningRate,
        tokensPerSecond: pace.recent(),
        eta: (steps - i - 1) * pace.secondsPerStep(),
        heldOutLoss: evaluated.at(-1)?.loss ?? null,
      });
    }
  } finally {
    step.close();
    evaluator?.close();
    executor.release(optimizer.state);
  }
  return { losses, heldOut: evaluated, tokensPerSecond: pace.overall(), seconds: (performance.now() - started) / 1000 };
};

/** Tokens and seconds of the steps; the first one, in which the device warms up, counts only when it is alone. */
const makePace = (): {
  add(tokens: number, seconds: number): void;
  recent(): number;
  overall(): number;
  secondsPerStep(): number;
} => {
  const steps: { tokens: number; seconds: number }[] = [];
  const rate = (list: typeof steps): number =>
    list.reduce((n, s) => n + s.tokens, 0) / list.reduce((n, s) => n + s.seconds, 0);
  const warm = (): typeof steps => (steps.length > 1 ? steps.slice(1) : steps);
  return {
    add: (tokens, seconds) => void steps.push({ tokens, seconds }),
    recent: () => rate(warm().slice(-10)),
    overall: () => rate(warm()),
    secondsPerStep: () =>
      warm()
        .slice(-10)
        .reduce((n, s) => n + s.seconds, 0) / Math.min(10, warm().length),
  };
};
