import { attach } from '@peftjs/core';
import { loadText } from '@peftjs/demo/text';
import type { Tokenizer } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import type { Executor } from '@peftjs/tensor';
import { adamw, chain, clip, cosine, evaluateLoss, makeTrainStep, train, trainingBatches } from '@peftjs/trainer';
import type { CausalLM } from '@peftjs/transformer';

/** The text that models are tuned on, in rows of tokens. */
export type Text = Awaited<ReturnType<typeof loadText>>;

/** Moby-Dick in rows of 128 tokens. */
export const textOf = (tokenizer: Tokenizer): Promise<Text> => loadText(undefined, tokenizer, 128, tokenizer.eosId!);

/** Optimiser steps, and rows of each. */
const [steps, batchSize] = [60, 4];
const learningRate = 4e-3;
const seeds = [1, 2, 3];

const adapted = (base: CausalLM, seed: number) => attach(base, [lora({ rank: 8, target: 'all-linear' })], { seed });

/** Mean loss of held-out chapters after 60 steps of LoRA, by seed. */
export const tunedLosses = async (
  base: CausalLM,
  { train: data, heldOut }: Text,
  executor: Executor,
): Promise<readonly number[]> => {
  const losses: number[] = [];
  for (const seed of seeds) {
    const { model, ...rest } = adapted(base, seed);
    const target = { model, ...rest };
    await train(target, { executor, data, steps, batchSize, seed, schedule: cosine({ learningRate, steps }) });
    losses.push((await evaluateLoss(model, heldOut, { executor, batchSize: 8 })).loss);
    executor.release(target.state.values());
  }
  return losses;
};

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** How long steps are watched: rows of 128 tokens in each, and how many steps, of which the first do not count. */
export interface Watch {
  readonly batchSize: number;
  readonly turns: number;
  readonly warmUp: number;
}

/** Tokens a second that steps of LoRA take in on each base, in turns. */
export const tokensPerSecond = async (
  bases: readonly CausalLM[],
  { train: data }: Text,
  executor: Executor,
  { batchSize: rows, turns, warmUp }: Watch = { batchSize, turns: 25, warmUp: 4 },
): Promise<readonly number[]> => {
  const batch = trainingBatches(data, rows, 1).next().value;
  const made = [];
  for (const base of bases) {
    const target = adapted(base, 1);
    const inputs = {
      ids: { shape: batch.shapes['ids']!, dtype: 'i32' },
      labels: { shape: batch.shapes['labels']!, dtype: 'i32' },
    } as const;
    made.push({
      target,
      step: await makeTrainStep(target, { executor, optimizer: chain(clip(1), adamw()), inputs }),
      times: [] as number[],
    });
  }
  for (let turn = 0; turn < turns; turn++)
    for (const { step, times } of made) {
      const start = performance.now();
      await step.run(turn, learningRate, [batch]);
      await step.results();
      if (turn >= warmUp) times.push(performance.now() - start);
    }
  for (const { target, step } of made) {
    step.close();
    executor.release(target.state.values());
  }
  const tokens = batch.shapes['ids']!.reduce((n, size) => n * size, 1);
  return made.map(({ times }) => (1000 * tokens) / median(times));
};
