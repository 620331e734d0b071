import { attach, type Method } from '@peftjs/core';
import { type Executor, isPeftError } from '@peftjs/tensor';
import { cosine, evaluateLoss, type TokenRows, train } from '@peftjs/trainer';
import type { CausalLM } from '@peftjs/transformer';
import type { Length } from './length.ts';
import { watched } from './watched.ts';

/** The model and data of the trials. */
export interface Ground {
  readonly model: CausalLM;
  readonly train: TokenRows;
  /** Rates are chosen by it. */
  readonly validation: TokenRows;
  /** The text of the losses that the table tells. */
  readonly heldOut: TokenRows;
}

/** The outcome of one training. Losses in nats a token. */
export interface Outcome {
  readonly validation: number;
  readonly heldOut: number;
  /** Planned peak of the training step, in bytes. */
  readonly planned: number;
  readonly seconds: number;
}

/** Losses on both kinds of held-out data. */
export const lossesOf = async (
  model: CausalLM,
  { validation, heldOut }: Ground,
  executor: Executor,
): Promise<Pick<Outcome, 'validation' | 'heldOut'>> => {
  const lossOn = async (rows: TokenRows): Promise<number> =>
    (await evaluateLoss(model, rows, { executor, batchSize: 16 })).loss;
  return { validation: await lossOn(validation), heldOut: await lossOn(heldOut) };
};

/** Trains a method from its first values and measures it. The loss is Infinity where the training diverges. */
export const tryOut = async (
  method: Method,
  ground: Ground,
  { steps, batchSize }: Length,
  {
    learningRate,
    seed,
    executor,
  }: { readonly learningRate: number; readonly seed: number; readonly executor: Executor },
): Promise<Outcome> => {
  const started = performance.now();
  const adapted = attach(ground.model, [method], { seed });
  const watch = watched(executor);
  const end = (losses: Pick<Outcome, 'validation' | 'heldOut'>): Outcome => ({
    ...losses,
    planned: watch.peak(),
    seconds: (performance.now() - started) / 1000,
  });
  try {
    const schedule = cosine({ learningRate, steps, warmup: Math.floor(steps / 15) });
    await train(adapted, { executor: watch.executor, data: ground.train, steps, batchSize, seed, schedule });
    return end(await lossesOf(adapted.model, ground, executor));
  } catch (error) {
    if (!isPeftError(error) || error.code !== 'diverged') throw error;
    return end({ validation: Number.POSITIVE_INFINITY, heldOut: Number.POSITIVE_INFINITY });
  } finally {
    executor.release(adapted.state.values());
  }
};
