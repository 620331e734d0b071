import { attach, chain, merge } from '@peftjs/core';
import { loadText } from '@peftjs/demo/text';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { storedBytes } from '@peftjs/quant';
import { sizeOf } from '@peftjs/tensor';
import { clip, cosine, evaluateLoss, type TokenRows, train } from '@peftjs/trainer';
import { type CausalLM, loadModel, parameters } from '@peftjs/transformer';
import { evenly } from '../quality/ground.ts';
import { watched } from '../quality/watched.ts';
import { forgetPeak, peakMemory } from '../run/peak-memory.ts';
import { type QuantizedRun, rateOf, settings } from './runs.ts';

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
  const { steps, context, heldOut, seed } = settings;
  const started = performance.now();
  const model = await loadModel(dir, { dtype: run.dtype ?? 'f32' });
  const [tokenizer, executor] = [await loadTokenizer(dir), await cpu({ threads })];
  const text = await loadText(undefined, tokenizer, context, model.config.eosIds[0]!);
  const held: TokenRows = evenly(text.heldOut, heldOut);
  const lossOf = async (of: CausalLM): Promise<number> =>
    (await evaluateLoss(of, held, { executor, batchSize: 1 })).loss;
  const learningRate = rateOf(model.config.hiddenSize);
  const { base, method } = run.make(model);
  const adapted = attach(base, [method], { seed });
  const losses = { base: await lossOf(base), before: await lossOf(adapted.model) };
  forgetPeak();
  const watch = watched(executor);
  const schedule = cosine({ learningRate, steps, warmup: 5 });
  const optimizer = chain(clip(1), run.optimizer);
  const data = text.train;
  await train(adapted, { executor: watch.executor, data, steps, batchSize: 1, seed, schedule, optimizer });
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
