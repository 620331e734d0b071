import { attach, merge } from '@peftjs/core';
import { storedBytes } from '@peftjs/quant';
import { sizeOf } from '@peftjs/tensor';
import { type CausalLM, loadModel, parameters } from '@peftjs/transformer';
import { watched } from '../quality/watched.ts';
import { forgetPeak, peakMemory } from '../run/peak-memory.ts';
import { openGround } from './ground.ts';
import { type QuantizedRun, settings } from './runs.ts';

/** The outcome of a run: losses in nats a token of held-out text, sizes in bytes. */
export interface Tuned {
  /** Weights of the model, embeddings included. */
  readonly weights: number;
  readonly learningRate: number;
  /** Bits a value of the layers, scales included. */
  readonly bits: number;
  /** Trained values. */
  readonly parameters: number;
  /** Of the base alone. */
  readonly base: number;
  /** With the adapter, before the first step. */
  readonly before: number;
  readonly after: number;
  /** Merged into the base's own format. */
  readonly merged: number;
  /** Layers of which that undid half of what was learnt or more. */
  readonly undone: number;
  /** Planned peak of a training step, weights and optimiser included. */
  readonly planned: number;
  /** The most that the process had resident while it trained. */
  readonly resident: number;
  readonly seconds: number;
}

const bitsOf = (model: CausalLM): number => {
  const layers = [...model.linears].filter(([path]) => path !== 'lm_head').map(([, layer]) => layer);
  return (8 * storedBytes(model)) / layers.reduce((n, { inDim, outDim }) => n + inDim * outDim, 0);
};

/** Trains one run on the model of a folder and measures it. What it took before the first step (packing, LoftQ's rounds) is not in the memory. */
export const tune = async (dir: string, run: QuantizedRun, threads: number): Promise<Tuned> => {
  const { seed } = settings;
  const started = performance.now();
  const ground = await openGround(dir, run.dtype ?? 'f32', settings, threads);
  const { model, executor, learningRate, lossOf } = ground;
  const { base, method } = run.make(model);
  const adapted = attach(base, [method], { seed });
  const losses = { base: await lossOf(base), before: await lossOf(adapted.model) };
  forgetPeak();
  const watch = watched(executor);
  await ground.train(adapted, run.optimizer, { seed, executor: watch.executor });
  const resident = peakMemory();
  const after = await lossOf(adapted.model);
  const merged = await merge(adapted, { executor });
  const tuned: Tuned = {
    weights: [...parameters(await loadModel(dir)).values()].reduce((n, { shape }) => n + sizeOf(shape), 0),
    learningRate,
    bits: bitsOf(base),
    parameters: [...adapted.params.values()].reduce((n, { shape }) => n + sizeOf(shape), 0),
    ...losses,
    after,
    merged: await lossOf(merged.model),
    undone: merged.undone.length,
    planned: watch.peak(),
    resident,
    seconds: Math.round((performance.now() - started) / 1000),
  };
  await executor.close();
  return tuned;
};
