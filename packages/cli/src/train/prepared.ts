import { type Adapted, attach, type Examples as Looked, type Method, prepare } from '@peftjs/core';
import type { Batch, Stream } from '@peftjs/data';
import { type Executor, PeftError } from '@peftjs/tensor';
import { type Base, loadBase } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import { type Context, count } from '../context.ts';
import { type Conversation, conversation } from '../conversation.ts';
import { type Examples, openExamples } from '../data/examples.ts';
import { methods } from '../methods.ts';
import { status } from '../status.ts';

/** The most tokens of an example, where nothing else is said and the model takes more. */
const longest = 1024;

/** Epochs, and the least steps, of a run of which nothing is said. */
const [defaultEpochs, leastSteps] = [3, 60];

/** Batches that methods may look at before training. */
const looks = 16;

/** All that a run begins with. */
export interface Prepared {
  readonly base: Base;
  readonly conversation: Conversation;
  readonly examples: Examples;
  readonly adapted: Adapted<Base['model']>;
  readonly steps: number;
  readonly rate: number;
  readonly context: number;
}

/** The first batches of a stream. */
const someOf = async (stream: Stream<Batch>): Promise<readonly Looked[]> => {
  const found: Batch[] = [];
  for await (const batch of stream.open()) if (found.push(batch) === looks) break;
  return found;
};

const madeMethod = async (
  config: RunConfig,
  base: Base,
  examples: Examples,
  steps: number,
  executor: Executor,
): Promise<Method> => {
  const { name, ...options } = config.method;
  const factory = methods.get(name)!;
  const own = { ...('steps' in (factory.options ?? {}) && { steps }), ...options };
  const method = factory(own);
  if (!method.prepare) return method;
  const data = method.needsData === false ? [] : await someOf(examples.train);
  const [ready] = await prepare(base.model, [method], { data, executor });
  return ready!;
};

/** The steps of a run. */
const stepsOf = ({ steps, epochs, batchSize, accumulate }: RunConfig, examples: number): number => {
  if (steps !== undefined) return steps;
  const own = Math.ceil((examples * (epochs ?? defaultEpochs)) / (batchSize * accumulate));
  return Math.max(1, epochs === undefined ? leastSteps : 1, own);
};

/** Loads the base, reads the data, attaches the method. Throws what those throw. */
export const prepared = async (config: RunConfig, executor: Executor, context: Context): Promise<Prepared> => {
  const base = await loadBase(config);
  const room = Math.min(base.model.config.maxPositions, base.model.positionsLeft);
  const own = config.data.context ?? Math.min(longest, room);
  if (own > room) throw new PeftError('bad-config', `data.context is ${own}, and ${base.name} takes ${room} tokens`);
  const told = await conversation(base.files, base.tokenizer, config.data.template);
  const encoder = { chat: told.chat, end: base.end, learn: config.data.learn };
  const line = reading(context);
  const examples = await openExamples(encoder, { ...config, context: own, onRead: line.tell });
  line.end();
  const steps = stepsOf(config, examples.survey.examples);
  const made = await madeMethod(config, base, examples, steps, executor);
  const adapted = attach(base.model, [made], { seed: config.seed });
  const { examples: number, heldOut, tokens, tooLong, empty } = examples.survey;
  status(
    context,
    `Data: ${count(number)} examples to learn from, ${count(heldOut)} held out, ${count(tokens)} tokens.`,
  );
  if (tooLong > 0)
    status(
      context,
      `${count(tooLong)} are longer than ${own} tokens and are ${config.data.tooLong === 'skip' ? 'left out' : 'cut'}.`,
    );
  if (empty > 0) status(context, `${count(empty)} have nothing to learn within ${own} tokens and are left out.`);
  const learningRate = config.optimizer.rate ?? adapted.learningRate;
  if (learningRate === null)
    throw new PeftError('bad-config', `optimizer.rate is missing: ${made.name} has no rate of its own`);
  return { base, conversation: told, examples, adapted, steps, rate: learningRate, context: own };
};

/** Tells how many examples were read, where that takes long and somebody looks on. */
const reading = ({ err }: Context): { tell(examples: number): void; end(): void } => {
  let last = performance.now();
  let isTold = false;
  return {
    tell: (examples) => {
      if (!err.isTTY || performance.now() - last < 250) return;
      last = performance.now();
      isTold = true;
      err.write(`\rReading the data: ${count(examples)} examples\u001b[K`);
    },
    end: () => void (isTold && err.write('\r\u001b[K')),
  };
};
