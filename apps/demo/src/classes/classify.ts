import { methods, type PredictedExample } from '@peftjs/cli/shared';
import { attach, prepare, startingRate } from '@peftjs/core';
import { fromArray, pipe, shuffle } from '@peftjs/data';
import { lora } from '@peftjs/lora';
import type { Executor, Tensor } from '@peftjs/tensor';
import { evaluateModel, type TrainResult } from '@peftjs/trainer';
import { loadModel, parameters, type TaskModel } from '@peftjs/transformer';
import { type Chosen, given } from '../chosen.ts';
import type { DemoOptions } from '../options.ts';
import { type DemoTask, runTask, sizesOf } from '../run.ts';
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

const accuracyOf = ({ heldOut }: TrainResult): number => heldOut.at(-1)!.metrics['accuracy']!;

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

const taskOf = async (
  data: ClassData,
  options: DemoOptions,
  executor: Executor,
): Promise<DemoTask<ClassResult, Model>> => {
  const { seed, steps, batch } = options;
  const base = await baseOf(data, options);
  const chosen = await choose(options, base, data, executor);
  const adapted = attach(base, [chosen.method], { seed });
  const [trainable, total] = [sizesOf(adapted.params.values()), sizesOf(parameters(base).values())];
  const heldOut = streamOf(data, data.test);
  return {
    adapted,
    chosen,
    total,
    opening:
      `Base model: ${total} parameters. ${chosen.label}, with the head: ${trainable}.\n` +
      `${data.name}: ${data.train.length} ${data.examples} to learn from, ${data.test.length} to test on. Device: ${executor.description}.\n`,
    baseName: data.base,
    madeOf: [data.dir, ...data.train.flatMap(({ row }) => Object.values(row))],
    training: {
      data: endless(data, seed, batch),
      heldOut: { data: heldOut, every: Math.max(1, Math.ceil(steps / evaluations)) },
    },
    fullRate,
    copy: () => baseOf(data, options),
    lossOf: async (model) => (await evaluateModel(model, heldOut, { executor })).loss,
    tell: async (tune, trainIt) => {
      const probe = await trainIt(attach(base, [], { seed }), { label: 'the head alone', learningRate: probeRate });
      const { tuned, full, figures } = await tune();
      const { loss, metrics } = tuned.heldOut.at(-1)!;
      const result: ClassResult = {
        ...figures,
        task: options.task,
        classes: data.labels,
        examples: data.train.length,
        tests: data.test.length,
        probeAccuracy: accuracyOf(probe),
        accuracy: accuracyOf(tuned),
        macroF1: metrics['macroF1']!,
        fullAccuracy: full && accuracyOf(full),
        heldOutLoss: loss,
      };
      const predicted = await examplesOf(adapted.model, data, executor, options);
      const findings = { label: chosen.label, data, device: executor.description, options, probe, tuned, predicted };
      return { result, report: reportOf(result, findings), lines: linesOf(result, findings) };
    },
  };
};

/**
 * Teaches a model to tell classes apart: mails that are spam from others, or pictures of classes that the base has never seen. The head alone is trained beside, for
 * comparison. Throws `PeftError` for what the user can mend; then nothing is left in the output folder.
 */
export const classify = async (options: DemoOptions): Promise<ClassResult> => {
  const started = performance.now();
  const { task, shots = usualShots, model } = options;
  const data = task === 'image' ? await clothesData(shots, model) : await spamData(model);
  return runTask(options, (executor) => taskOf(data, options, executor), started);
};
