import { type Adapted, attach, type Examples as Looked, type Method, type Objective, prepare } from '@peftjs/core';
import type { Batch, Stream } from '@peftjs/data';
import { computeInt8, quantizeByLlmInt8 } from '@peftjs/quant';
import { type Executor, PeftError, type Tensor } from '@peftjs/tensor';
import { storedValues, type TaskModel, targeted } from '@peftjs/transformer';
import { bar } from '../bar.ts';
import { loadTask, openPlace } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import { type Context, count } from '../context.ts';
import { type Examples, openExamples } from '../data/examples.ts';
import type { Lesson, Place } from '../learn/lesson.ts';
import { lessonOf } from '../learn/lesson-of.ts';
import { objectiveOf } from '../learn/objective-of.ts';
import { methods } from '../methods.ts';
import { status } from '../status.ts';
import { ownRate } from './own-rate.ts';

/** The most tokens of an example, where nothing else is said and the model takes more. */
const longest = 1024;

/** Epochs, and the least steps, of a run of which nothing is said. */
const [defaultEpochs, leastSteps] = [3, 60];

/** Batches that methods may look at before training. */
const looks = 16;

/** All that a run begins with. */
export interface Prepared extends Ground {
  readonly adapted: Adapted<TaskModel<Tensor>>;
  readonly steps: number;
  readonly rate: number;
}

/** Examples whose inputs say which stand out. */
const telling = 8;

/** The first batches of a stream. */
const someOf = async (stream: Stream<Batch>, most: number): Promise<readonly Looked[]> => {
  const found: Batch[] = [];
  for await (const batch of stream.open()) if (found.push(batch) === most) break;
  return found;
};

/** The base, its products made as a run asks for. Throws as `computeInt8`, `quantizeByLlmInt8`. */
const computed = async (
  { compute, batchSize }: RunConfig,
  base: TaskModel<Tensor>,
  examples: Examples,
  executor: Executor,
): Promise<TaskModel<Tensor>> => {
  if (!compute) return base;
  const paths = targeted(base.linears.keys(), 'all-linear', 'compute');
  if (!paths.every((path) => storedValues(base.linears.get(path)!))) return computeInt8(base);
  const data = await someOf(examples.train, Math.ceil(telling / batchSize));
  return quantizeByLlmInt8(base, { executor, data });
};

const madeMethod = async (
  config: RunConfig,
  base: TaskModel<Tensor>,
  examples: Examples,
  steps: number,
  executor: Executor,
): Promise<Method> => {
  const { name, ...options } = config.method;
  const factory = methods.get(name)!;
  const own = { ...('steps' in (factory.options ?? {}) && { steps }), ...options };
  const method = factory(own);
  if (!method.prepare) return method;
  const data = method.needsData === false ? [] : await someOf(examples.train, looks);
  const [ready] = await prepare(base, [method], { data, executor });
  return ready!;
};

/** The steps of a run. */
export const stepsOf = ({ steps, epochs, batchSize, accumulate }: RunConfig, examples: number): number => {
  if (steps !== undefined) return steps;
  const own = Math.ceil((examples * (epochs ?? defaultEpochs)) / (batchSize * accumulate));
  return Math.max(1, epochs === undefined ? leastSteps : 1, own);
};

/** Tokens of an example, at most; 0 where a model has no texts. Throws `bad-config` for more than the model takes. */
const contextOf = (
  { data: { context: asked } }: RunConfig,
  { lengths }: Lesson,
  { name, base }: { readonly name: string; readonly base: TaskModel<Tensor> },
): number => {
  if (lengths.length === 0) return 0;
  const room = Math.min(base.config.maxPositions, base.passPositions);
  const own = asked ?? Math.min(longest, room);
  if (own <= room) return own;
  throw new PeftError('bad-config', `data.context is ${own}, and ${name} takes ${room} tokens`);
};

/** A base and examples, before a method is attached: what runs that differ in their methods share. */
export interface Ground {
  readonly place: Place;
  readonly lesson: Lesson;
  readonly base: TaskModel<Tensor>;
  readonly examples: Examples;
  /** The loss; undefined for the task's own. */
  readonly objective: Objective | undefined;
  /** Tokens of an example, at most; 0 of pictures. */
  readonly context: number;
}

/** Loads the base and reads the data. Throws what those throw. */
export const openGround = async (config: RunConfig, executor: Executor, context: Context): Promise<Ground> => {
  const place = await openPlace(config.model);
  const lesson = await lessonOf(config, place);
  const stored = await loadTask(place, config, lesson.task);
  const own = contextOf(config, lesson, { name: place.name, base: stored });
  const line = bar(context, 'Reading the data', { unit: 'examples' });
  const examples = await openExamples(lesson, stored, { ...config, context: own, onRead: line.tell });
  line.end();
  const base = await computed(config, stored, examples, executor);
  const objective = await objectiveOf(config, lesson.task, base);
  const { examples: number, heldOut, repeated, tokens, tooLong, empty } = examples.survey;
  status(
    context,
    `Data: ${count(number)} ${number === 1 ? 'example' : 'examples'} to learn from, ${count(heldOut)} held out${tokens > 0 ? `, ${count(tokens)} tokens` : ''}.`,
  );
  if (repeated > 0)
    status(
      context,
      `${count(repeated)} of the held-out examples are learnt too: the held-out loss is too low by that.`,
    );
  if (tooLong > 0)
    status(
      context,
      `${count(tooLong)} ${tooLong === 1 ? 'is' : 'are'} longer than ${own} tokens and ${tooLong === 1 ? 'is' : 'are'} ${config.data.tooLong === 'skip' ? 'left out' : 'cut'}.`,
    );
  if (empty > 0)
    status(
      context,
      `${count(empty)} ${empty === 1 ? 'has' : 'have'} nothing to learn within ${own} tokens and ${empty === 1 ? 'is' : 'are'} left out.`,
    );
  return { place, lesson, base, examples, objective, context: own };
};

/** Attaches the method of a run. Throws as the method does; `bad-config` where nothing says a learning rate. */
export const onGround = async (ground: Ground, config: RunConfig, executor: Executor): Promise<Prepared> => {
  const { base, examples } = ground;
  const steps = stepsOf(config, examples.survey.examples);
  const made = await madeMethod(config, base, examples, steps, executor);
  const adapted = attach(base, [made], { seed: config.seed });
  const rate = config.optimizer.rate ?? ownRate(config) ?? adapted.learningRate;
  if (rate !== null) return { ...ground, adapted, steps, rate };
  throw new PeftError('bad-config', `optimizer.rate is missing: ${made.name} has no rate of its own`);
};

/** Loads the base, reads the data, attaches the method. Throws what those throw. */
export const prepared = async (config: RunConfig, executor: Executor, context: Context): Promise<Prepared> =>
  onGround(await openGround(config, executor, context), config, executor);
