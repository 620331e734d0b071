import { join } from 'node:path';
import { inNewFolder, methods, openDevice, type PredictedExample, renderReport, say } from '@peftjs/cli/shared';
import { type Adapted, attach, load, prepare, save, startingRate } from '@peftjs/core';
import { fromArray, pipe, shuffle } from '@peftjs/data';
import { writeFileAtomic } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { type Executor, PeftError, type Tensor } from '@peftjs/tensor';
import {
  allWeights,
  cosine,
  evaluateModel,
  progressLine,
  type Trainable,
  type TrainResult,
  train,
} from '@peftjs/trainer';
import { loadModel, parameters, type TaskModel } from '@peftjs/transformer';
import { type Chosen, given } from '../chosen.ts';
import { sizesOf, tensorBytes } from '../demo.ts';
import type { DemoOptions } from '../options.ts';
import { endless, streamOf } from './batches.ts';
import type { ClassData } from './class-data.ts';
import { clothesData } from './clothes.ts';
import { type ClassResult, linesOf, reportOf } from './outcome.ts';
import { predict } from './predict.ts';
import { spamData } from './spam.ts';

type Model = TaskModel<Tensor>;

/** Pictures of each class to learn from, where nothing else is said. */
const usualShots = 100;
/** Points of the curve of held-out loss after the first. */
const evaluations = 5;
/** Examples that the report shows. */
const shown = 24;
/** Learning rates: of the head alone, and of all weights. */
const [probeRate, fullRate] = [1e-2, 1e-3];

const usual = ({ rank = 8, target = ['all-linear'] }: DemoOptions): Chosen => ({
  label: `LoRA of rank ${rank}`,
  method: lora({ rank, alpha: 2 * rank, target }),
  learningRate: 4e-3,
});

/** The model of these data, with a new head. */
const baseOf = ({ dir, task }: ClassData, { seed }: DemoOptions): Promise<Model> =>
  loadModel(dir, { task, seed, newHead: true });

const choose = async (options: DemoOptions, model: Model, data: ClassData, executor: Executor): Promise<Chosen> => {
  const { method: name, learningRate } = options;
  if (name === undefined) return { ...usual(options), ...(learningRate !== undefined && { learningRate }) };
  const factory = methods.get(name)!; // the command line was checked
  const examples = [];
  for await (const batch of streamOf(data, data.train).open()) examples.push(batch);
  const [method] = await prepare(model as never, [factory(given(factory, options))], {
    data: examples.slice(0, 16),
    executor,
  });
  return { label: name, method: method!, learningRate: learningRate ?? startingRate(method!, model)! }; // a card has one
};

/** Trains on the examples again and again. Throws where it is stopped. */
const learn = async (
  target: Trainable,
  data: ClassData,
  executor: Executor,
  { steps, seed, batch }: DemoOptions,
  { label, learningRate }: Pick<Chosen, 'label' | 'learningRate'>,
): Promise<TrainResult> => {
  const result = await train(target, {
    executor,
    data: endless(data, seed, batch),
    steps,
    seed,
    schedule: cosine({ learningRate, steps, warmup: Math.floor(steps / 15) }),
    heldOut: { data: streamOf(data, data.test), every: Math.max(1, Math.ceil(steps / evaluations)) },
    stopOn: ['SIGINT', 'SIGTERM'],
    onStep: progressLine({ label }),
  });
  if (result.stopped !== null) throw new PeftError('bad-program', 'Stopped; nothing is kept.');
  return result;
};

const accuracyOf = ({ heldOut }: TrainResult): number => heldOut.at(-1)!.metrics['accuracy']!;

/** Saves, loads it into a view of its own, and measures again: the loss must be the same. */
const saveAndCheck = async (
  adapted: Adapted<Model>,
  data: ClassData,
  executor: Executor,
  dir: string,
  loss: number,
): Promise<void> => {
  await save(adapted, dir, { executor, baseModel: data.base });
  const again = await load(adapted.base, dir, [...methods.values()]);
  const measured = await evaluateModel(again.model, streamOf(data, data.test), { executor });
  executor.release(again.state.values());
  if (Math.abs(measured.loss - loss) > (adapted.method.compact ? 1e-4 : 0))
    throw new PeftError(
      'bad-adapter',
      `${dir}: loaded again the adapter gives loss ${measured.loss}, trained it gave ${loss}`,
    );
};

/** The accuracy after training all weights of another copy of the model. */
const tuneAll = async (data: ClassData, executor: Executor, options: DemoOptions): Promise<number> => {
  const copy = await baseOf(data, options);
  try {
    return accuracyOf(
      await learn(allWeights(copy), data, executor, options, { label: 'all weights', learningRate: fullRate }),
    );
  } finally {
    executor.release(parameters(copy).values());
  }
};

/** So many numbers below a count, drawn by a seed, each of them as likely, from the lowest on. */
const drawn = async (many: number, count: number, seed: number): Promise<number[]> => {
  const numbers = Array.from({ length: count }, (_, i) => i);
  const all: number[] = [];
  for await (const one of pipe(fromArray(numbers), shuffle({ seed })).open()) all.push(one);
  return all.slice(0, many).sort((a, b) => a - b);
};

/** Held-out examples, drawn whatever they are, and what the model takes them for. */
const examplesOf = async (
  model: Model,
  data: ClassData,
  executor: Executor,
  { seed }: DemoOptions,
): Promise<readonly PredictedExample[]> => {
  const some = (await drawn(shown, data.test.length, seed)).map((i) => data.test[i]!);
  const probabilities = await predict(model, data, some, executor);
  return some.map(({ label, shown: seen }, i) => {
    const probability = Math.max(...probabilities[i]!);
    const best = probabilities[i]!.indexOf(probability);
    return { shown: seen, label: data.labels[label]!, predicted: data.labels[best]!, probability };
  });
};

const runOn = async (
  executor: Executor,
  data: ClassData,
  options: DemoOptions,
  dir: string,
  started: number,
): Promise<ClassResult> => {
  const { seed } = options;
  const base = await baseOf(data, options);
  const chosen = await choose(options, base, data, executor);
  const adapted = attach(base, [chosen.method], { seed });
  const [trainable, total] = [sizesOf(adapted.params.values()), sizesOf(parameters(base).values())];
  say(
    process.stderr,
    `Base model: ${total} parameters. ${chosen.label}, with the head: ${trainable}.\n` +
      `${data.name}: ${data.train.length} ${data.examples} to learn from, ${data.test.length} to test on. Device: ${executor.description}.\n`,
  );
  const probe = await learn(attach(base, [], { seed }), data, executor, options, {
    label: 'the head alone',
    learningRate: probeRate,
  });
  const tuned = await learn(adapted, data, executor, options, chosen);
  const adapterDir = join(dir, 'adapter');
  const { loss, metrics } = tuned.heldOut.at(-1)!;
  await saveAndCheck(adapted, data, executor, adapterDir, loss);
  const examples = await examplesOf(adapted.model, data, executor, options);
  const result: ClassResult = {
    task: options.task,
    method: chosen.method.name,
    device: executor.name,
    classes: data.labels,
    examples: data.train.length,
    tests: data.test.length,
    probeAccuracy: accuracyOf(probe),
    accuracy: accuracyOf(tuned),
    macroF1: metrics['macroF1']!,
    fullAccuracy: options.full ? await tuneAll(data, executor, options) : null,
    heldOutLoss: loss,
    trainable,
    total,
    seconds: (performance.now() - started) / 1000,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    adapterBytes: await tensorBytes(adapterDir),
    adapterDir,
    losses: join(dir, 'losses.json'),
    report: join(dir, 'report.html'),
  };
  await writeFileAtomic(result.losses, `${JSON.stringify({ losses: tuned.losses, heldOut: tuned.heldOut })}\n`);
  const findings = {
    label: chosen.label,
    data,
    device: executor.description,
    options,
    probe,
    tuned,
    predicted: examples,
  };
  await writeFileAtomic(result.report, renderReport(reportOf(result, findings)));
  say(process.stdout, linesOf(result, findings));
  return result;
};

/**
 * Teaches a model to tell classes apart: mails that are spam from others, or pictures of classes that the base has never seen. The head alone is trained beside, for
 * comparison. Throws `PeftError` for what the user can mend; then nothing is left in the output folder.
 */
export const classify = async (options: DemoOptions): Promise<ClassResult> => {
  const started = performance.now();
  const { task, shots = usualShots, model, out } = options;
  const data = task === 'image' ? await clothesData(shots, model) : await spamData(model);
  const executor = await openDevice(options.device);
  try {
    return await inNewFolder(out, (dir) => runOn(executor, data, options, dir, started));
  } finally {
    await executor.close();
  }
};
