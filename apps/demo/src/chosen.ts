import { type Examples, type Method, prepare } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { type Executor, PeftError } from '@peftjs/tensor';
import { makeBatch } from '@peftjs/trainer';
import type { Loaded } from './loaded.ts';
import { type Factory, methodNamed } from './methods.ts';
import type { DemoOptions } from './options.ts';

/** What is trained, and how. */
export interface Chosen {
  /** For people: `LoRA of rank 16`, `prefixTuning`. */
  readonly label: string;
  readonly method: Method;
  /** Highest learning rate. */
  readonly learningRate: number;
}

/** LoRA as it suits the base model: on the head too, for the words of another author are what a model of this size needs most. */
const suitedLora = (rank = 16): Omit<Chosen, 'learningRate'> => ({
  label: `LoRA of rank ${rank}`,
  method: lora({ rank, alpha: rank, target: ['all-linear', 'lm_head'] }),
});

const suitedRate = 1.2e-2;

/** Options that a method takes from the run. */
const given = (factory: Factory, { rank, steps }: DemoOptions): object => {
  const known = factory.options ?? {};
  if (rank !== undefined && !('rank' in known))
    throw new PeftError('bad-option', `--rank: ${factory.name} has no rank; leave it out`);
  return { ...(rank !== undefined && { rank }), ...('steps' in known && { steps }) };
};

/** Rows of a batch, and batches, that methods may look at before training. */
const [rows, batches] = [8, 16];

const examplesOf = ({ text: { train } }: Loaded): Examples[] =>
  Array.from({ length: Math.min(batches, Math.ceil(train.rows.length / rows)) }, (_, i) => {
    const { ids, labels } = makeBatch(train.rows.slice(i * rows, (i + 1) * rows), rows, train.context);
    return { rows, tokens: train.context, ids, labels };
  });

/** The method that was asked for, ready to be attached: what looks at the base and at data first has done so. */
export const choose = async (options: DemoOptions, loaded: Loaded, executor: Executor): Promise<Chosen> => {
  const { method: name, rank, learningRate } = options;
  if (name === undefined) return { ...suitedLora(rank), learningRate: learningRate ?? suitedRate };
  const factory = methodNamed(name);
  const [method] = await prepare(loaded.model, [factory(given(factory, options))], examplesOf(loaded), executor);
  return { label: name, method: method!, learningRate: learningRate ?? factory.learningRate };
};
