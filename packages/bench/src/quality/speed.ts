import { methods, openDevice } from '@peftjs/cli/shared';
import { attach, chain, type Method } from '@peftjs/core';
import { type Executor, isPeftError } from '@peftjs/tensor';
import { adamw, clip, makeBatch, makeTrainStep } from '@peftjs/trainer';
import { median, ratio } from '../stats.ts';
import { loadGround } from './ground.ts';
import { length } from './length.ts';
import { sized } from './sized.ts';
import type { Ground } from './trial.ts';

/** The speed of a method's training step, as a line of a file. */
export interface Speed {
  readonly method: string;
  readonly tokensPerSecond: number;
  /** The time of its step as a multiple of LoRA's, by rounds that were measured one after the other. */
  readonly besideLora: number;
}

interface Timed {
  /** Seconds of a step, by the mean of a few. */
  round(): Promise<number>;
  close(): void;
}

const stepsOfRound = 3;

const timed = async (method: Method, { model, train }: Ground, executor: Executor): Promise<Timed> => {
  const adapted = attach(model, [method]);
  const step = await makeTrainStep(adapted, { executor, optimizer: chain(clip(1), adamw()) });
  const batch = makeBatch(train.rows.slice(0, length.batchSize), length.batchSize, train.context);
  let done = 0;
  const round = async (): Promise<number> => {
    const started = performance.now();
    for (let i = 0; i < stepsOfRound; i++) await step.run(done++, 1e-4, [batch]);
    await step.results();
    return (performance.now() - started) / 1000 / stepsOfRound;
  };
  await round();
  return {
    round,
    close: () => {
      step.close();
      executor.release(adapted.state.values());
    },
  };
};

/** Times methods, each in turns with LoRA: `rounds` of a few steps, after a warm-up. Those that fail are told, and left out. */
export const measureSpeeds = async (
  names: readonly string[],
  { rounds, threads, say }: { readonly rounds: number; readonly threads: number; readonly say: (text: string) => void },
): Promise<Speed[]> => {
  const [executor, ground] = [await openDevice('cpu', { threads }), await loadGround()];
  const ready = async (name: string): Promise<Timed> =>
    timed((await sized(methods.get(name)!, ground, length, executor)).method, ground, executor);
  const speeds: Speed[] = [];
  try {
    const lora = await ready('lora');
    for (const name of names)
      try {
        const own = await ready(name);
        const [ours, theirs]: [number[], number[]] = [[], []];
        for (let i = 0; i < rounds; i++) {
          theirs.push(await lora.round());
          ours.push(await own.round());
        }
        own.close();
        const tokens = length.batchSize * ground.train.context;
        const speed = {
          method: name,
          tokensPerSecond: Math.round(tokens / median(ours)),
          besideLora: Number(ratio(ours, theirs).toFixed(3)),
        };
        speeds.push(speed);
        say(`${name}: ${speed.tokensPerSecond} tokens/s, a step takes ${speed.besideLora} of LoRA's`);
      } catch (error) {
        if (!isPeftError(error)) throw error;
        say(`${name} failed: ${error.message}`);
      }
    lora.close();
  } finally {
    await executor.close();
  }
  return speeds;
};
