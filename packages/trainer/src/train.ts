import { type Between, chain, makeBetween, requireAdapted } from '@peftjs/core';
import { pipe, repeat } from '@peftjs/data';
import { PeftError } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import { type BatchSource, isTokenRows, openBatches } from './batches.ts';
import { makeBest } from './best.ts';
import { checkRows } from './check-data.ts';
import { type Evaluator, makeEvaluator } from './evaluator.ts';
import { checkFinite, listed, notFinite } from './finite.ts';
import { alone, anyOf, reduceStep } from './group.ts';
import { adamw } from './optimizers/adamw.ts';
import { clip } from './optimizers/clip.ts';
import { makePace } from './pace.ts';
import { countOf } from './pack.ts';
import type { Progress } from './progress.ts';
import type { Resumed } from './run-checkpoint.ts';
import { checkSameRun, runIdentity } from './run-identity.ts';
import type { Evaluated, Log } from './run-state.ts';
import { makeSafe } from './safe.ts';
import { shareJson, shareVariables } from './share.ts';
import { standing } from './standing.ts';
import { stepsOf } from './steps-of.ts';
import { type StopSignal, watchSignals } from './stop-on.ts';
import { checkTrainOptions, scheduleFor, type TrainOptions } from './train-options.ts';
import { makeTrainStep } from './train-step.ts';
import type { Trainable } from './trainable.ts';

/** The losses of a run, by step, for curves: finite ones. */
export interface TrainResult {
  readonly losses: readonly {
    readonly step: number;
    readonly loss: number;
    readonly learningRate: number;
    readonly gradNorm: number;
    /** Numbers that the objective reports beside the loss, where it does: finite ones. */
    readonly metrics?: Readonly<Record<string, number>>;
  }[];
  /** The measurements of held-out data. */
  readonly heldOut: readonly Evaluated[];
  /** The steps that were skipped, because their loss or gradient was not finite. */
  readonly skipped: readonly number[];
  /** Labelled tokens per second of training (rows, where rows have labels), evaluation and the first step (warm-up of the device) apart. */
  readonly tokensPerSecond: number;
  readonly seconds: number;
  /** Its end before the last step: a signal of the system, or the caller's, or `heldOut`'s patience; null where all steps are done. */
  readonly stopped: StopSignal | 'signal' | 'patience' | null;
  /** The checkpoint that it went on from; null where it began at the front. */
  readonly resumed: Resumed | null;
}

type Told = TrainResult['losses'][number];

const diverged = (first: number, { step, loss, gradNorm, learningRate }: Told, odd: readonly string[]): PeftError =>
  new PeftError(
    'diverged',
    `train: the loss is ${loss} and the gradient's norm ${gradNorm} at step ${step} (learning rate ${learningRate.toExponential(2)})` +
      `${first < step ? `, and since step ${first} no step was finite` : ''}; ` +
      (odd.length > 0
        ? `there is what is no finite number in ${listed(odd)}, from before the first step: load the model or the adapter anew.`
        : 'lower the learning rate or lengthen the warm-up. The weights are those before that.'),
  );

interface Waiting {
  readonly step: number;
  readonly learningRate: number;
  readonly tokens: number;
}

/**
 * Trains: batches, gradients of the loss, clipping, AdamW, with the loss of every step recorded. Throws `bad-option` with all that is wrong with the
 * options, `diverged` when loss, gradient or what was trained are not finite any more. Whatever else ends it (`device-lost`, `out-of-memory`, …) is told
 * with the step, after the last good state has been written where there is a `checkpoint`.
 */
export const train = async (target: Trainable, options: TrainOptions): Promise<TrainResult> => {
  requireAdapted('train', target);
  checkTrainOptions(options);
  const { executor, batchSize = 8, optimizer = chain(clip(1), adamw()), accumulate = 1, seed = 0 } = options;
  const { heldOut, onStep, maxSkipped = 4, readEvery = executor.name === 'webgpu' ? 10 : 1, signal } = options;
  const { objective, recompute = false, group = alone } = options;
  const [isGroup, isFirst] = [options.group !== undefined, group.rank === 0];
  const checkpoint = isFirst ? options.checkpoint : undefined;
  const { epochs, average } = options;
  const steps = options.steps ?? (await stepsOf(options.data, { epochs: epochs!, batchSize, accumulate, group }));
  const data = epochs === undefined || isTokenRows(options.data) ? options.data : pipe(options.data, repeat());
  const schedule = scheduleFor(target, steps, options);
  const needs = { model: target.model, columns: target.columns, free: objective !== undefined };
  if (isTokenRows(data)) checkRows('train', needs, data);
  const started = performance.now();
  const shape = isTokenRows(data) && { shape: [batchSize, data.context], dtype: 'i32' as const };
  const step = await makeTrainStep(target, {
    executor,
    optimizer,
    seed,
    recompute,
    gathers: accumulate > 1 || isGroup,
    ...(objective && { objective }),
    ...(average !== undefined && { average }),
    ...(shape && { inputs: { ids: shape, labels: shape } }),
  });
  const params = [...target.params.values()];
  const log: Log = { losses: [], evaluated: [], skipped: [], rewarmed: [] };
  const { losses, evaluated, skipped, rewarmed } = log;
  const kept = [...target.state.values(), ...target.running.values(), ...[...step.state.values()].flat()];
  const identity = () => runIdentity(target, options);
  const { onEvaluate, onCheckpoint } = options;
  const safe = makeSafe(kept, log, {
    executor,
    steps,
    readEvery,
    identity,
    ...(checkpoint && { checkpoint }),
    ...(onCheckpoint && { onCheckpoint }),
  });
  const best = makeBest(kept, { executor, group, safe });
  const logs = isFirst ? (options.logs ?? []) : [];
  const pace = makePace();
  const waiting: Waiting[] = [];
  let batches: BatchSource | undefined;
  let evaluator: Evaluator | undefined;
  /** Steps skipped since the last that was not. */
  let inRow = 0;
  let resumed: Resumed | null = null;
  let isDone = false;
  let hasFailed = true;
  let lastStep = 0;
  const watch = watchSignals(options.stopOn ?? [], checkpoint !== undefined);
  const isAsked = (): boolean => (signal?.aborted ?? false) || watch.caught() !== null;
  /** The schedule's rate, less as long as a decision lets it grow anew. */
  const rateAt = (i: number): number => {
    const { after, steps: over } = rewarmed.findLast((r) => r.after <= i) ?? { after: 0, steps: 0 };
    const rate = schedule(i, heldOut && evaluated) * Math.min(1, i < after + over ? (i - after + 1) / over : 1);
    if (Number.isFinite(rate) && rate >= 0) return rate;
    throw new PeftError(
      'bad-option',
      `the schedule gives ${rate} for step ${i} (they are counted from 0 to ${steps - 1}); a rate is a finite number of at least 0`,
    );
  };
  const between = (after: number): Between =>
    makeBetween({
      executor,
      params,
      state: step.state,
      rewarm: (over) => void rewarmed.push({ after, steps: over }),
    });
  /** Takes in this process's share of a step's batches; how many values they count. */
  const collect = async (i: number): Promise<number> => {
    let tokens = 0;
    for (let k = 0; k < accumulate; k++) {
      const index = (i * group.size + group.rank) * accumulate + k;
      const batch = await batches!.next(index);
      if (k === 0) {
        pace.start();
        safe.begin(i + 1);
      }
      tokens += countOf(batch);
      await step.collect(batch, index);
    }
    safe.stands(batches!.cursor());
    return tokens;
  };
  /** Does something with the weights that a run ends with, where these are not those that it trains. */
  const rested = async <T>(work: () => T | Promise<T>): Promise<T> => {
    const back = await step.rest();
    try {
      return await work();
    } finally {
      await back();
    }
  };
  const measure = async (at: number): Promise<void> => {
    if (!evaluator) return;
    const { loss, metrics } = await rested(() => evaluator!.run());
    if (!Number.isFinite(loss))
      throw new PeftError('diverged', `train: the held-out loss is ${loss} after step ${at}; ${await reason()}`);
    const measured = { step: at, loss, metrics };
    evaluated.push(measured);
    const isBest = standing(evaluated, heldOut!).best === measured;
    if (isBest && heldOut!.keepBest) await best.keep();
    for (const log of logs) await log.measure?.({ ...measured, isBest });
    if (onEvaluate) await rested(() => onEvaluate({ ...measured, isBest }));
  };
  /** Whether the measurements have not become better for long enough. */
  const isPatienceOver = (): boolean =>
    heldOut?.patience !== undefined && standing(evaluated, heldOut).since >= heldOut.patience;
  const oddNow = (): Promise<string[]> => notFinite([...kept, ...step.reads], executor);
  const reason = async (): Promise<string> => {
    const odd = await oddNow();
    return odd.length > 0
      ? `there is what is no finite number in ${listed(odd)}`
      : 'its batches give what is no finite number';
  };
  /** Waits for the steps under way and records their losses. */
  const settle = async (): Promise<readonly Told[]> => {
    const results = await step.results();
    const done = waiting.splice(0);
    pace.read(done);
    const settled = results.map(({ loss, gradNorm, finite, metrics }, i) => {
      const { step: at, learningRate } = done[i]!;
      const sound = Object.entries(metrics).filter(([, value]) => Number.isFinite(value));
      const reported = sound.length > 0 ? { metrics: Object.fromEntries(sound) } : {};
      return { finite, told: { step: at + 1, loss, learningRate, gradNorm, ...reported } };
    });
    for (const { finite, told } of settled) {
      safe.reach(1);
      if (finite) losses.push(told);
      else skipped.push(told.step);
      inRow = finite ? 0 : inRow + 1;
      if (inRow <= maxSkipped && (inRow === 0 || losses.length > 0 || told.step < steps)) continue;
      // Where no step ever was finite, it may be what was there before.
      const odd = losses.length === 0 ? await oddNow() : [];
      throw diverged(told.step - inRow + 1, told, odd);
    }
    return settled.map(({ told }) => told);
  };
  const report = async (settled: readonly Told[], ends: boolean): Promise<void> => {
    for (const done of settled) {
      const progress: Progress = {
        metrics: {},
        ...done,
        steps,
        skipped: skipped.length,
        tokensPerSecond: pace.recent(),
        eta: (steps - done.step) * pace.secondsPerStep(),
        heldOutLoss: evaluated.at(-1)?.loss ?? null,
        isLast: ends && done === settled.at(-1),
      };
      for (const log of logs) await log.step(progress);
      await onStep?.(progress);
    }
  };
  /** Where the run begins: at the front, or where its checkpoint stands; in a group where that of the first does. */
  const open = async (): Promise<number> => {
    if (isGroup) await checkSameRun(target, options, { steps, schedule }, group);
    const { from, ...found } = await safe.open();
    resumed = from;
    if (from && from.unsound.length > 0)
      console.warn(`train: goes on from ${from.file}, after step ${from.step}, for ${from.unsound.join('; ')}`);
    if (!isGroup) {
      batches = openBatches(data, { size: batchSize, seed, at: found.data, needs });
      return found.step;
    }
    const state = await shareJson({ ...found, log }, group);
    if (!isFirst) safe.restore(state);
    await shareVariables(kept, executor, group);
    batches = openBatches(data, { size: batchSize, seed, at: state.data, needs });
    return state.step;
  };
  const stoppedBy = (): TrainResult['stopped'] => {
    if (!isDone) return watch.caught() ?? 'signal';
    return lastStep < steps ? 'patience' : null;
  };
  try {
    evaluator =
      heldOut &&
      (await makeEvaluator(target.model, heldOut.data, {
        executor,
        batchSize: heldOut.batchSize ?? batchSize,
        group,
        ...(objective?.measures && { objective, ...(target.base && { base: target.base as TaskModel<unknown> }) }),
        ...(heldOut.metrics && { metrics: heldOut.metrics }),
      }));
    const first = await open();
    let isEnough = isPatienceOver();
    isDone = first === steps || isEnough;
    lastStep = first;
    // Who has asked for an end before the start gets no step.
    const isOver = isGroup ? await anyOf(isAsked(), group) : isAsked();
    if (first === 0 && !isOver) await measure(0);
    for (let i = first; i < steps && !isOver && !isEnough; i++) {
      const learningRate = rateAt(i);
      const tokens = await collect(i);
      const stops = isGroup && (await reduceStep(step, { executor, group, own: isAsked() ? 1 : 0 })) > 0;
      await step.apply(i, learningRate);
      waiting.push({ step: i, learningRate, tokens });
      if (target.decision?.due(i + 1)) await safe.whole(() => target.decision!.run(i + 1, between(i + 1)));
      const isLast = i + 1 === steps;
      const measures = heldOut !== undefined && ((i + 1) % heldOut.every === 0 || isLast);
      const isAborted = (): boolean => (isGroup ? stops : isAsked());
      if (!(isLast || measures || safe.isDue(i + 1) || isAborted() || waiting.length >= readEvery)) continue;
      const settled = await settle();
      if (measures) await measure(i + 1);
      isEnough = isPatienceOver();
      await report(settled, isLast || isEnough || isAborted());
      const ends = isEnough || isAborted();
      if (isLast || ends) await checkFinite(params, executor, i + 1);
      // What is about to diverge must not take the place of what was good.
      if (inRow === 0 || ends || isLast) await safe.keep(ends || isLast);
      isDone = isLast || isEnough;
      lastStep = i + 1;
      if (ends) break;
    }
    if (isDone && heldOut?.keepBest) await best.restore();
    // An average over what is still to come is not asked for yet.
    if (isDone || average === undefined) await step.rest();
    hasFailed = false;
  } catch (error) {
    throw await safe.rescue(error, settle);
  } finally {
    watch.end();
    for (const log of logs) await log.end?.(hasFailed);
    await batches?.close();
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
    stopped: stoppedBy(),
    resumed,
  };
};
