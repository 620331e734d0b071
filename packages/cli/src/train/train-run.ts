import { rm, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { save, summary } from '@peftjs/core';
import { writeFileAtomic } from '@peftjs/io';
import type { Executor } from '@peftjs/tensor';
import { progressLine, type TrainResult, train } from '@peftjs/trainer';
import { counted } from '../bar.ts';
import type { RunConfig } from '../config/schema.ts';
import { type Context, count, result } from '../context.ts';
import { templateFile } from '../conversation.ts';
import { openDevice } from '../device.ts';
import { Stopped } from '../exit-codes.ts';
import { status } from '../status.ts';
import { dryRun } from './dry-run.ts';
import { logsOf } from './logs.ts';
import { training } from './optimizer.ts';
import { type Ground, onGround, type Prepared, prepared } from './prepared.ts';
import { beginRun, logSample, logStep, type RunResult, runFiles, settled } from './run-folder.ts';
import { writeRunReport } from './run-report.ts';
import { keptTemplate, sampler } from './sample.ts';
import { suited } from './suited.ts';

/** A path as it is shorter. */
const shorter = (path: string): string => {
  const own = relative(process.cwd(), path);
  return own !== '' && !own.startsWith('..') && own.length < path.length ? own : path;
};

/** Samples of a run after the first, and the steps of one that has some on the way. */
const [samples, leastSampled] = [4, 20];

const exitCodes = { SIGINT: 130, SIGTERM: 143, signal: 130 } as const;

const checkEnd = ({ stopped, losses, resumed }: TrainResult, steps: number, dir: string): void => {
  // A run whose patience is over has come to its end.
  if (stopped === null || stopped === 'patience') return;
  const done = losses.at(-1)?.step ?? resumed?.step ?? 0;
  throw new Stopped(
    `Stopped after step ${done} of ${steps}, which are kept. To go on:\n  npx peftjs resume ${shorter(dir)}`,
    exitCodes[stopped],
  );
};

const trained = async (
  config: RunConfig,
  ready: Prepared,
  { dir, isNew }: { readonly dir: string; readonly isNew: boolean },
  executor: Executor,
  context: Context,
): Promise<RunResult> => {
  const { place, lesson, examples, adapted, steps } = ready;
  const files = runFiles(dir);
  const logs = await logsOf(config, dir);
  const line = progressLine({ stream: context.err, label: adapted.method.name });
  const sample = sampler(ready, executor);
  const keepSample = async (step: number, model: unknown): Promise<void> => {
    const own = await sample.of(model);
    if (own) await logSample(dir, { step, ...own });
  };
  // Of a run that goes on there is no model from before.
  if (isNew) await keepSample(0, adapted.base);
  await sample.close();
  let sampled = 0;
  const { heldOut } = examples.survey;
  const measured =
    examples.heldOut &&
    counted(examples.heldOut, context, 'Measuring', { group: lesson.group, ...(heldOut > 0 && { total: heldOut }) });
  // The line of the first step takes its place; so does an error.
  if (context.err.isTTY) context.err.write('Compiling the step …');
  const cleared = (error: unknown): never => {
    if (context.err.isTTY) context.err.write('\r\u001b[K');
    throw error;
  };
  const found = await train(adapted, {
    ...training(config, ready, executor, context),
    ...(measured && {
      heldOut: { data: measured.stream, every: config.evaluateEvery ?? Math.max(1, Math.ceil(steps / 8)) },
    }),
    checkpoint: { file: files.checkpoint, every: config.checkpointEvery ?? Math.max(1, Math.round(steps / 20)) },
    onEvaluate: async ({ step }) => {
      measured?.end();
      // At a quarter of the way, half, and three quarters.
      const part = Math.floor((step / steps) * samples);
      if (step === 0 || step === steps || part === sampled || steps < leastSampled) return;
      sampled = part;
      await keepSample(step, adapted.model);
    },
    logs,
    onStep: async (progress) => {
      line(progress);
      await logStep(dir, progress);
    },
  }).catch(cleared);
  checkEnd(found, steps, dir);
  await save(adapted, files.adapter, { executor, baseModel: place.name });
  const template = keptTemplate(lesson);
  if (template !== null) await writeFile(join(files.adapter, templateFile), template);
  const sizes = summary(adapted);
  const outcome: RunResult = {
    dir,
    adapter: files.adapter,
    report: files.report,
    method: adapted.method.name,
    steps,
    loss: found.losses.at(-1)?.loss ?? null,
    heldOut: found.heldOut.length > 0 ? [found.heldOut[0]!.loss, found.heldOut.at(-1)!.loss] : null,
    unit: lesson.unit,
    measures: pairsOf(found.heldOut),
    trained: sizes.trained,
    total: sizes.base,
    tokensPerSecond: found.tokensPerSecond,
    seconds: found.seconds,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    device: executor.description,
  };
  const curves = { losses: found.losses, heldOut: found.heldOut };
  await writeFileAtomic(files.result, `${JSON.stringify({ ...outcome, curves })}\n`);
  await keepSample(steps, adapted.model);
  await sample.close();
  await writeRunReport(outcome, curves, { config, survey: examples.survey });
  return outcome;
};

/** Measures of held-out data before the first step and after the last, by name; of words the perplexity says no more than the loss. */
const pairsOf = (measured: TrainResult['heldOut']): RunResult['measures'] => {
  const [first, last] = [measured[0]?.metrics ?? {}, measured.at(-1)?.metrics ?? {}];
  return Object.fromEntries(
    Object.entries(first).flatMap(([name, before]) =>
      name === 'perplexity' || last[name] === undefined ? [] : [[name, [before, last[name]] as const]],
    ),
  );
};

/** The command to go on with after a run of a task. */
const nextOf = (task: string, dir: string): string => {
  if (task === 'causalLM') return `Try it: npx peftjs chat ${dir}`;
  if (task === 'seq2seqLM') return `Try it: npx peftjs generate ${dir} --prompt TEXT`;
  return `Measure it: npx peftjs evaluate ${dir} --data FILE`;
};

const told = (
  { dir, adapter, report, loss, heldOut, unit, measures, trained: values }: RunResult,
  task: string,
): string =>
  [
    heldOut
      ? `Held-out loss: ${heldOut[0].toFixed(4)} -> ${heldOut[1].toFixed(4)} nats per ${unit}`
      : `Loss of the last step: ${loss?.toFixed(4) ?? 'unknown'} nats per ${unit}`,
    ...Object.entries(measures).map(
      ([name, [first, last]]) => `Held-out ${name}: ${first.toFixed(4)} -> ${last.toFixed(4)}`,
    ),
    `Adapter: ${shorter(adapter)}, ${count(values)} values`,
    `Report:  ${shorter(report)}`,
    nextOf(task, shorter(dir)),
  ].join('\n');

/** How a run is begun. */
export interface TrainRunOptions {
  /** Tells of it and ends before the first step. */
  readonly dry?: boolean;
  /** The folder of a run that goes on. Default: a new one. */
  readonly dir?: string;
  /** The folder of a new run. Default: one in the configuration's `out`, named by its start. */
  readonly into?: string;
  /** A base and examples that are loaded already, and the device, which stays open. Default: both are the run's own. */
  readonly on?: { readonly ground: Ground; readonly executor: Executor };
}

/** A run from its configuration to its adapter. Throws what its parts throw; `Stopped`, with what is kept, where it was ended. */
export const trainRun = async (
  asked: RunConfig,
  context: Context,
  { dry = false, dir: given }: TrainRunOptions = {},
): Promise<void> => {
  const outcome = await runOf(asked, context, { dry, ...(given !== undefined && { dir: given }) });
  if (outcome) result(context, outcome, told(outcome, asked.task.name));
};

/** The same without the result being told; null of a run that is dry. */
export const runOf = async (
  asked: RunConfig,
  context: Context,
  { dry = false, dir: given, into, on }: TrainRunOptions = {},
): Promise<RunResult | null> => {
  const config = suited(asked);
  if (!on) status(context, `Model: ${config.model ?? 'the small one that is shipped'}`);
  const executor = on?.executor ?? (await openDevice(config.device, { threads: config.threads }));
  try {
    const ready = on ? await onGround(on.ground, config, executor) : await prepared(config, executor, context);
    if (dry) {
      await dryRun(config, ready, executor, context);
      return null;
    }
    const kept = settled({ ...config, task: ready.lesson.kept }, ready.steps);
    const dir = given ?? (await beginRun(kept, executor, into));
    status(
      context,
      `Run: ${shorter(dir)}, ${count(ready.steps)} ${ready.steps === 1 ? 'step' : 'steps'} on ${executor.description}`,
    );
    try {
      return await trained(config, ready, { dir, isNew: given === undefined }, executor, context);
    } catch (error) {
      // A run that kept nothing leaves nothing.
      const checkpoint = await stat(runFiles(dir).checkpoint).catch(() => null);
      if (!checkpoint && given === undefined) await rm(dir, { recursive: true, force: true });
      throw error;
    }
  } finally {
    if (!on) await executor.close();
  }
};
