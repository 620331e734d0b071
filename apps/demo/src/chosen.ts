import { pfeiffer } from '@peftjs/adapters';
import { type Factory, methods } from '@peftjs/cli/shared';
import { attach, type Examples, type Method, prepare, type Snapshot, snapshot, startingRate } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import type { AdapterFusionOptions } from '@peftjs/multitask';
import { type Executor, PeftError } from '@peftjs/tensor';
import { cosine, makeBatch, progressLine, train } from '@peftjs/trainer';
import type { Loaded } from './loaded.ts';
import type { DemoOptions } from './options.ts';

/** The trained method, and how it is trained. */
export interface Chosen {
  /** For people: `LoRA of rank 16`, `prefixTuning`. */
  readonly label: string;
  readonly method: Method;
  /** Highest learning rate. */
  readonly learningRate: number;
}

/** LoRA as it suits the base model: on the head too, for the words of another author are what a model of this size needs most. */
const suitedLora = ({ rank = 16, target = ['all-linear', 'lm_head'] }: DemoOptions): Omit<Chosen, 'learningRate'> => ({
  label: `LoRA of rank ${rank}`,
  method: lora({ rank, alpha: rank, target }),
});

const suitedRate = 1.2e-2;

/** Options that a method takes from the run. */
export const given = (factory: Factory, { rank, target, steps }: DemoOptions): object => {
  const known = factory.options ?? {};
  const own = { ...(rank !== undefined && { rank }), ...(target && { target }) };
  const odd = Object.keys(own).find((name) => !(name in known));
  if (odd) throw new PeftError('bad-option', `--${odd}: ${factory.name} has no ${odd}; leave it out`);
  return { ...own, ...('steps' in known && { steps }) };
};

/** Rows of a batch, unless they are told. */
export const usualBatch = 8;

/** Rows of a batch, and batches, that methods may look at before training. */
const [rows, batches] = [8, 16];

const examplesOf = ({ text: { train } }: Loaded): Examples[] =>
  Array.from({ length: Math.min(batches, Math.ceil(train.rows.length / rows)) }, (_, i) =>
    makeBatch(train.rows.slice(i * rows, (i + 1) * rows), rows, train.context),
  );

/** Adapters of the two halves of the text, one after the other, to be fused: as if they were two tasks. */
const trainedHalves = async (
  { steps, seed, batch = usualBatch }: DemoOptions,
  { model, text }: Loaded,
  executor: Executor,
): Promise<AdapterFusionOptions['adapters']> => {
  const half = Math.ceil(text.train.rows.length / 2);
  const trained: Record<string, Snapshot> = {};
  for (const [i, name] of ['first', 'second'].entries()) {
    const adapted = attach(model, [pfeiffer()], { seed: seed + i });
    const data = { ...text.train, rows: text.train.rows.slice(i * half, (i + 1) * half) };
    await train(adapted, {
      executor,
      data,
      steps,
      batchSize: batch,
      seed,
      schedule: cosine({ learningRate: adapted.learningRate!, steps }),
      onStep: progressLine({ label: `pfeiffer, ${name} half` }),
    });
    trained[name] = await snapshot(adapted, { executor });
    executor.release(adapted.state.values());
  }
  return trained;
};

/** The options that a method needs beside its defaults, by name. */
const needed: Readonly<Record<string, (options: DemoOptions, loaded: Loaded, executor: Executor) => Promise<object>>> =
  {
    adapterFusion: async (...run) => ({ adapters: await trainedHalves(...run) }),
    gated: async () => ({ method: lora() }),
  };

/** The method that was asked for, ready to be attached: what looks at the base and at data first has done so. */
export const choose = async (options: DemoOptions, loaded: Loaded, executor: Executor): Promise<Chosen> => {
  const { method: name, learningRate } = options;
  if (name === undefined) return { ...suitedLora(options), learningRate: learningRate ?? suitedRate };
  const factory = methods.get(name)!; // the command line was checked
  const own = { ...given(factory, options), ...(await needed[name]?.(options, loaded, executor)) };
  const [method] = await prepare(loaded.model, [factory(own)], { data: examplesOf(loaded), executor });
  return { label: name, method: method!, learningRate: learningRate ?? startingRate(method!, loaded.model)! }; // a card has one
};
