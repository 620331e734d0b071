import { type GradientTransform, type LossOptions, lossRules, type Objective } from '@peftjs/core';
import type { Batch, Stream, TokenRows } from '@peftjs/data';
import {
  mustBe,
  noOptions,
  type OnExecutor,
  onExecutor,
  optionProblems,
  PeftError,
  type Rule,
  type Rules,
} from '@peftjs/tensor';
import { isTokenRows } from './batches.ts';
import type { CheckpointOptions } from './checkpoint.ts';
import { type EvaluationOptions, metricsRule } from './evaluator.ts';
import type { Group } from './group.ts';
import type { Logger } from './logs/logger.ts';
import { optimizerRule } from './optimizer-step.ts';
import type { Progress } from './progress.ts';
import type { Evaluated } from './run-state.ts';
import type { KeptCheckpoint } from './safe.ts';
import type { Schedule } from './schedule.ts';
import { type NamedSchedule, scheduleOf } from './schedule-of.ts';
import { cosine } from './schedules/cosine.ts';
import type { Comparison } from './standing.ts';
import { isStopList, type StopSignal } from './stop-on.ts';
import type { Trainable } from './trainable.ts';

/** Data to measure the loss on. */
export interface HeldOutOptions extends Comparison {
  /** Rows of tokens, or a stream of batches that ends. */
  readonly data: TokenRows | Stream<Batch>;
  /** Steps between two measurements; there is one before the first step and one after the last. */
  readonly every: number;
  /** Rows at a time. Default: the run's. */
  readonly batchSize?: number;
  /** Measures of predictions, as in `evaluateModel`. Default: those that are usual for the task. */
  readonly metrics?: EvaluationOptions['metrics'];
  /** Ends the run after so many measurements in a row that are no better than the best one. Default: it goes on. */
  readonly patience?: number;
  /**
   * Whether a run that comes to its end has the weights of its best measurement, not those of its last step. They are kept in `<file>.best` beside the checkpoint, which is
   * a checkpoint too; without one in memory. Default false.
   */
  readonly keepBest?: boolean;
}

/** A measurement of a run, told when it is made. */
export interface Measurement extends Evaluated {
  /** Whether it is the best so far. */
  readonly isBest: boolean;
}

/** How to train. */
export interface TrainOptions extends OnExecutor {
  /** Rows of tokens, visited in an order of the seed again and again; or a stream of batches, `shard`ed where there is a group. */
  readonly data: TokenRows | Stream<Batch>;
  /** Optimiser steps. Either these or `epochs`. */
  readonly steps?: number;
  /**
   * How often all data is visited, instead of `steps`: 3, or 0.5. A stream without `repeat` is read once before, to count its batches, and repeated then, in another
   * order each time where it has a `shuffle`.
   */
  readonly epochs?: number;
  /** Rows per micro-batch, of data that is rows. Default 8. */
  readonly batchSize?: number;
  /**
   * Default: the method's own learning rate, which is AdamW's, after a warm-up over 6 % of the steps (Liu et al., 2019; https://arxiv.org/abs/1907.11692), then
   * half a cosine down to 0. By name, `{ name: 'wsd', decay: 20 }`, the run's steps and the method's learning rate are filled in.
   */
  readonly schedule?: Schedule | NamedSchedule;
  /** Default `chain(clip(1), adamw())`. */
  readonly optimizer?: GradientTransform;
  /**
   * Decay of a moving average of the trained values, 0.999 as a rule. Held-out data is measured with it, and a run that comes to its end has it in place of its last
   * values; checkpoints have both. Kingma & Ba, 2014, section 7.2. https://arxiv.org/abs/1412.6980. Default: there is none.
   */
  readonly average?: number;
  /** The loss: `rDrop()`, `distillation()`, an own one. Default: the task's. */
  readonly objective?: Objective<never>;
  /**
   * Gradient checkpointing. Of each block only its input is kept for the backward pass, which computes the inner values again when it comes to the block, with the
   * same dropout: the same losses and gradients, up to rounding. Of L blocks whose input takes h bytes (4·batch·tokens·hiddenSize) and whose inner values take
   * a, a step keeps L·h + a instead of L·(h + a) besides weights and optimiser, for about one more forward pass. A number n recomputes the first n blocks of each tower and
   * stores what the others make: L·h + (L − n)·a bytes, n / L of a forward pass more.
   * Default false. Chen, Xu, Zhang & Guestrin, 2016. https://arxiv.org/abs/1604.06174
   */
  readonly recompute?: LossOptions['recompute'];
  /** Micro-batches per step; together they are one large batch, however many labels each has. Default 1. */
  readonly accumulate?: number;
  /** Seed of the order of rows and of dropout. Default 0. */
  readonly seed?: number;
  /** Data to measure the loss on. */
  readonly heldOut?: HeldOutOptions;
  /**
   * Where the run is kept, so that it can go on after it was cut short: with the same options it ends with the same weights. When something
   * fails on the way, the state before that is written too.
   */
  readonly checkpoint?: CheckpointOptions;
  /** Called for every step, once its loss is known; waited for. */
  readonly onStep?: (progress: Progress) => unknown;
  /** Called for every measurement of `heldOut`; waited for. */
  readonly onEvaluate?: (measured: Measurement) => unknown;
  /** Places where the numbers of the run go: `[await tensorBoard('runs/a')]`. In a group those of the first process. */
  readonly logs?: readonly Logger[];
  /** Called when a checkpoint has been written; waited for. */
  readonly onCheckpoint?: (kept: KeptCheckpoint) => unknown;
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
  /**
   * Processes that train together: each calls `train` with the same options and takes its share of the batches, as if one took `accumulate` times as many. They
   * begin with the values and the checkpoint of process 0, which alone writes one.
   */
  readonly group?: Group;
  /** Ends the run after the current step, with a checkpoint where there is one; what was trained stays. In a group one of them ends it for all. */
  readonly signal?: AbortSignal;
  /**
   * Signals of the system that end the run as `signal` does: `['SIGINT', 'SIGTERM']`. Its step ends, the state is written where there is a checkpoint, `train`
   * returns, and the process is to end with 130 or 143 (`process.exitCode`). A second one ends the process at once. Default: none.
   */
  readonly stopOn?: readonly StopSignal[];
}

const isLoggers = (v: unknown): boolean =>
  Array.isArray(v) && v.every((log: unknown) => typeof (log as Logger | null)?.step === 'function');

const atLeastOne: Rule = mustBe.such('a number of at least 1', (v) => typeof v === 'number' && v >= 1);

const rules: Rules<TrainOptions> = {
  ...onExecutor,
  data: mustBe.given(mustBe.object),
  steps: mustBe.count,
  epochs: mustBe.positive,
  batchSize: mustBe.count,
  schedule: mustBe.such(
    "a schedule, such as cosine({ … }) or { name: 'cosine' }",
    (v) => typeof v === 'function' || mustBe.object.accepts(v),
  ),
  optimizer: optimizerRule,
  objective: mustBe.fn,
  average: mustBe.rate,
  recompute: lossRules.recompute,
  accumulate: mustBe.count,
  seed: mustBe.whole,
  heldOut: mustBe.object,
  checkpoint: mustBe.object,
  onStep: mustBe.fn,
  onEvaluate: mustBe.fn,
  onCheckpoint: mustBe.fn,
  logs: mustBe.such('a list of loggers', isLoggers),
  readEvery: mustBe.count,
  maxSkipped: mustBe.whole,
  group: mustBe.object,
  signal: mustBe.object,
  stopOn: mustBe.such("a list of 'SIGINT' and 'SIGTERM'", isStopList),
};

const heldOutRules: Rules<HeldOutOptions> = {
  data: mustBe.given(mustBe.object),
  every: mustBe.given(mustBe.count),
  batchSize: mustBe.count,
  metrics: metricsRule,
  patience: mustBe.count,
  keepBest: mustBe.flag,
  by: mustBe.text,
  better: mustBe.oneOf(['lower', 'higher']),
};

const checkpointRules: Rules<CheckpointOptions> = {
  file: mustBe.given(mustBe.text),
  every: mustBe.given(atLeastOne),
  keep: mustBe.count,
  copyEvery: atLeastOne,
  from: mustBe.text,
};

const groupRules: Rules<Group> = {
  rank: mustBe.given(mustBe.whole),
  size: mustBe.given(mustBe.count),
  allReduce: mustBe.given(mustBe.fn),
  broadcast: mustBe.given(mustBe.fn),
};

const within = <O extends object>(name: string, rulesOf: Rules<O>, given: O | undefined): string[] =>
  typeof given === 'object' && given !== null ? optionProblems(rulesOf, given).map((text) => `${name}: ${text}`) : [];

/** Throws `bad-option` with all that is wrong. */
export const checkTrainOptions = (options: TrainOptions): void => {
  const misplaced = noOptions(rules, options);
  if (misplaced !== null) throw new PeftError('bad-option', `train: ${misplaced}`);
  const { data, steps, epochs, batchSize, heldOut, checkpoint, group } = options ?? {};
  const problems = [
    ...optionProblems(rules, options),
    ...within('heldOut', heldOutRules, heldOut),
    ...within('checkpoint', checkpointRules, checkpoint),
    // A class of the user's may have more than this.
    ...within(
      'group',
      groupRules,
      group && { rank: group.rank, size: group.size, allReduce: group.allReduce, broadcast: group.broadcast },
    ),
  ];
  if (steps === undefined && epochs === undefined)
    problems.push('steps is missing: it must be a whole number of at least 1; or give epochs');
  if (steps !== undefined && epochs !== undefined) problems.push('there are steps and epochs; leave one of them out');
  if (group && group.rank >= group.size)
    problems.push(`group: rank must be below size, ${group.size}, got ${group.rank}`);
  if (batchSize !== undefined && typeof data === 'object' && data !== null && !isTokenRows(data))
    problems.push('batchSize is for data that is rows; the batches of a stream have their size');
  if (problems.length > 0) throw new PeftError('bad-option', `train: ${problems.join('; ')}`);
};

/** The schedule of a run; where none is given, by the optimiser's or the method's learning rate. Throws `bad-option` where it tells none. */
export const scheduleFor = (
  target: Trainable,
  steps: number,
  { schedule: given, optimizer }: Pick<TrainOptions, 'schedule' | 'optimizer'>,
): Schedule => {
  const learningRate = optimizer?.rate ?? target.learningRate;
  if (typeof given === 'function') return given;
  if (given) return scheduleOf(given, { steps, learningRate });
  if (learningRate != null) return cosine({ learningRate, steps, warmup: Math.round(0.06 * steps) });
  throw new PeftError(
    'bad-option',
    'train: schedule is missing, and what is trained has no learning rate of its own; give one: cosine({ learningRate: 1e-3, steps })',
  );
};
