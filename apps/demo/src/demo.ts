import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { inNewFolder, methods, openDevice, renderReport, say, wholeWords } from '@peftjs/cli/shared';
import { type Adapted, attach, load, save } from '@peftjs/core';
import { writeFileAtomic } from '@peftjs/io';
import { storedBytes } from '@peftjs/quant';
import { type Executor, PeftError, sizeOf } from '@peftjs/tensor';
import {
  allWeights,
  cosine,
  evaluateLoss,
  progressLine,
  type Trainable,
  type TrainResult,
  train,
} from '@peftjs/trainer';
import { type CausalLM, generate, loadModel, parameters } from '@peftjs/transformer';
import { type Chosen, choose, usualBatch } from './chosen.ts';
import { type Loaded, loadAll } from './loaded.ts';
import type { DemoOptions } from './options.ts';
import { count, type DemoResult, linesOf, percent, reportOf } from './outcome.ts';
import { checkFinished, finish, unfinishedFile } from './unfinished.ts';

/** Points of the curve of held-out loss after the first. */
const evaluations = 8;
/** The highest learning rate for all weights: the best of 5e-4, 1e-3, 2e-3 and 4e-3 at the default steps. */
const allOfIt = { label: 'all weights', learningRate: 2e-3 };

/** Steps between two states that are written: an adapter is small, all weights are not. */
const [everyStep, everyTenth] = [1, 10];

/** Trains, or goes on with what was cut short, until it is done; throws where it is stopped. */
const trainWith = async (
  target: Trainable,
  loaded: Loaded,
  executor: Executor,
  options: DemoOptions,
  chosen: Pick<Chosen, 'label' | 'learningRate'>,
): Promise<TrainResult> => {
  const { steps, seed, batch = usualBatch } = options;
  const { label, learningRate } = chosen;
  const result = await train(target, {
    executor,
    data: loaded.text.train,
    steps,
    batchSize: batch,
    seed,
    schedule: cosine({ learningRate, steps, warmup: Math.floor(steps / 15) }),
    heldOut: { data: loaded.text.heldOut, every: Math.max(1, Math.ceil(steps / evaluations)) },
    checkpoint: { file: unfinishedFile(options, loaded, chosen), every: target.method ? everyStep : everyTenth },
    stopOn: ['SIGINT', 'SIGTERM'],
    onStep: progressLine({ label }),
  });
  checkFinished(result, options);
  return result;
};

/** The opening of the held-out text, which both models continue: its words, and its tokens after an end of text. */
const promptOf = ({ text, tokenizer, endOfText }: Loaded): { readonly words: string; readonly ids: Int32Array } => {
  const opening = tokenizer.decode(text.heldOut.rows[0]!.subarray(0, Math.min(48, text.heldOut.context / 2)), {
    skipSpecial: true,
  });
  const words = opening.split(' ').slice(0, 14).join(' ');
  return { words, ids: Int32Array.of(endOfText, ...tokenizer.encode(words, { special: false })) };
};

/** How far a loss may be after loading: an encoder is saved as what it computes, all else to the bit. */
const slack = ({ method }: Adapted): number => (method.compact ? 1e-4 : 0);

/** Saves, loads it into a view of its own, and measures again: the loss must be the same. */
const saveAndCheck = async (
  adapted: Adapted,
  loaded: Loaded,
  executor: Executor,
  dir: string,
  tunedLoss: number,
  batchSize: number,
): Promise<void> => {
  await save(adapted, dir, { executor, baseModel: loaded.name });
  const again = await load(loaded.model, dir, [...methods.values()]);
  const { loss } = await evaluateLoss(again.model, loaded.text.heldOut, { executor, batchSize });
  executor.release(again.state.values());
  if (Math.abs(loss - tunedLoss) > slack(adapted))
    throw new PeftError(
      'bad-adapter',
      `${dir}: loaded again the adapter gives loss ${loss}, trained it gave ${tunedLoss}`,
    );
};

/** Trains all weights of another copy of the model. */
const trainFull = async (loaded: Loaded, executor: Executor, options: DemoOptions): Promise<TrainResult> => {
  const copy = await loadModel(loaded.dir);
  try {
    return await trainWith(allWeights(copy), loaded, executor, options, allOfIt);
  } finally {
    executor.release(parameters(copy).values());
  }
};

/** Bytes of all tensor files in a folder. */
export const tensorBytes = async (dir: string): Promise<number> => {
  const files = (await readdir(dir, { recursive: true })).filter((file) => file.endsWith('.safetensors'));
  return (await Promise.all(files.map((file) => stat(join(dir, file))))).reduce((n, { size }) => n + size, 0);
};

const lastLoss = (result: TrainResult): number => result.heldOut.at(-1)!.loss;

/** Values of all tensors. */
export const sizesOf = (tensors: Iterable<{ readonly shape: readonly number[] }>): number =>
  [...tensors].reduce((n, t) => n + sizeOf(t.shape), 0);

const runOn = async (
  executor: Executor,
  loaded: Loaded,
  options: DemoOptions,
  dir: string,
  started: number,
): Promise<DemoResult> => {
  const { dense, model, text, tokenizer } = loaded;
  const { seed, steps, batch: batchSize = usualBatch } = options;
  const chosen = await choose(options, loaded, executor);
  const adapted = attach(model, [chosen.method], { seed });
  const trainable = sizesOf(adapted.params.values());
  const total = sizesOf(parameters(dense).values());
  const learned = text.train.rows.length * text.train.context;
  say(
    process.stderr,
    `Base model: ${count(total)} parameters. ${chosen.label}: ${count(trainable)}, ${percent(trainable, total)}.\n` +
      `Text: ${text.name}, ${count(learned)} tokens to learn from. Device: ${executor.description}.\n`,
  );

  const prompt = promptOf(loaded);
  const maxTokens = Math.min(96, model.config.maxPositions - prompt.ids.length);
  const sample = async (of: CausalLM): Promise<string> => {
    const ids = await generate(of, { executor, prompt: prompt.ids, maxTokens, temperature: 0.7, topK: 40, seed });
    const words = tokenizer.decode(ids);
    return ids.length < maxTokens ? words : wholeWords(words);
  };
  const { loss: baseLoss } = await evaluateLoss(model, text.heldOut, { executor, batchSize });
  const before = await sample(model);
  const tuned = await trainWith(adapted, loaded, executor, options, chosen);
  const after = await sample(adapted.model);

  const adapterDir = join(dir, 'adapter');
  await saveAndCheck(adapted, loaded, executor, adapterDir, lastLoss(tuned), batchSize);
  const full = options.full ? await trainFull(loaded, executor, options) : null;
  const result: DemoResult = {
    method: chosen.method.name,
    device: executor.name,
    baseLoss,
    tunedLoss: lastLoss(tuned),
    fullLoss: full && lastLoss(full),
    trainable,
    total,
    tokensPerSecond: tuned.tokensPerSecond,
    baseBytes: storedBytes(model),
    baseHalfBytes: storedBytes(dense) / 2,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    seconds: (performance.now() - started) / 1000,
    adapterBytes: await tensorBytes(adapterDir),
    adapterDir,
    losses: join(dir, 'losses.json'),
    report: join(dir, 'report.html'),
  };
  await writeFileAtomic(result.losses, `${JSON.stringify({ losses: tuned.losses, heldOut: tuned.heldOut })}\n`);
  const findings = {
    label: chosen.label,
    textName: text.name,
    summary: `A base model of ${count(total)} parameters${options.quantize ? ` in ${options.quantize}` : ''}, ${steps} steps of ${batchSize} × ${text.train.context} tokens, seed ${seed}, on ${executor.description}.`,
    prompt: prompt.words,
    before,
    after,
    tuned,
    full,
  };
  await writeFileAtomic(result.report, renderReport(reportOf(result, findings)));
  say(process.stdout, linesOf(result, findings));
  await finish(unfinishedFile(options, loaded, chosen));
  if (full) await finish(unfinishedFile(options, loaded, allOfIt));
  return result;
};

/**
 * The whole way: load the base, measure, attach LoRA, train, measure, sample, save, load again, report. Throws `PeftError` for what the
 * user can mend; then nothing is left in the output folder.
 */
export const runDemo = async (options: DemoOptions): Promise<DemoResult> => {
  const started = performance.now();
  const loaded = await loadAll(options);
  const executor = await openDevice(options.device);
  try {
    return await inNewFolder(options.out, (dir) => runOn(executor, loaded, options, dir, started));
  } finally {
    await executor.close();
  }
};
