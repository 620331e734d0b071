import type { Adapted, GradientTransform } from '@peftjs/core';
import { chain } from '@peftjs/core';
import { loadText } from '@peftjs/demo/text';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import type { Executor } from '@peftjs/tensor';
import { clip, cosine, evaluateLoss, type TokenRows, train } from '@peftjs/trainer';
import { type CausalLM, loadModel, type WeightDType } from '@peftjs/transformer';
import { evenly } from '../quality/ground.ts';

/** How runs on a ground train: tokens of a row, one row a step; held-out rows of as many. */
export interface GroundSettings {
  readonly steps: number;
  readonly context: number;
  readonly heldOut: number;
}

/** A model of a folder and the demo's text, to train on and to measure. */
export interface Ground {
  readonly model: CausalLM;
  readonly executor: Executor;
  /** Rows to train on. */
  readonly rows: TokenRows;
  readonly held: TokenRows;
  /** AdamW's peak: narrow models want more. */
  readonly learningRate: number;
  /** Nats a token of the held-out rows. */
  lossOf(model: CausalLM): Promise<number>;
  /** Trains an adapter: a warm-up of five steps, then a cosine. */
  train(
    adapted: Adapted,
    optimizer: GradientTransform,
    options: { readonly seed: number; readonly executor?: Executor },
  ): Promise<void>;
}

/** Opens it. The executor is the caller's to close. */
export const openGround = async (
  dir: string,
  dtype: WeightDType,
  { steps, context, heldOut }: GroundSettings,
  threads: number,
): Promise<Ground> => {
  const model = await loadModel(dir, { dtype });
  const [tokenizer, executor] = [await loadTokenizer(dir), await cpu({ threads })];
  const text = await loadText(undefined, tokenizer, context, model.config.eosIds[0]!);
  const held = evenly(text.heldOut, heldOut);
  const learningRate = model.config.hiddenSize < 512 ? 4e-3 : 1e-3;
  return {
    model,
    executor,
    rows: text.train,
    held,
    learningRate,
    lossOf: async (of) => (await evaluateLoss(of, held, { executor, batchSize: 1 })).loss,
    train: async (adapted, own, { seed, executor: on = executor }) => {
      const schedule = cosine({ learningRate, steps, warmup: 5 });
      const optimizer = chain(clip(1), own);
      await train(adapted, { executor: on, data: text.train, steps, batchSize: 1, seed, schedule, optimizer });
    },
  };
};
