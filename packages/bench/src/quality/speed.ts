import { methods, openDevice } from '@peftjs/cli/shared';
import { attach } from '@peftjs/core';
import { isPeftError } from '@peftjs/tensor';
import { makeBatch } from '@peftjs/trainer';
import { loadGround } from './ground.ts';
import { length } from './length.ts';
import { sized } from './sized.ts';
import { inTurns, type Timed, timedStep } from './timed.ts';

/** The speed of a method's training step, as a line of a file. */
export interface Speed {
  readonly method: string;
  readonly tokensPerSecond: number;
  /** The time of its step as a multiple of LoRA's, by rounds that were measured one after the other. */
  readonly besideLora: number;
}

/** How speeds are measured, and who is told. */
export interface Speedometer {
  readonly rounds: number;
  readonly threads: number;
  say(text: string): void;
  /** Takes a speed as soon as it is measured. */
  keep(speed: Speed): Promise<void>;
}

/** Times methods, each in turns with LoRA: `rounds` of a few steps, after a warm-up. Those that fail are told, and left out; how many did. */
export const measureSpeeds = async (
  names: readonly string[],
  { rounds, threads, say, keep }: Speedometer,
): Promise<number> => {
  const [executor, ground] = [await openDevice('cpu', { threads }), await loadGround()];
  const { rows, context } = ground.train;
  const batch = makeBatch(rows.slice(0, length.batchSize), length.batchSize, context);
  const ready = async (name: string): Promise<Timed> => {
    const { method } = await (await sized(methods.get(name)!, ground, length, executor)).ready();
    return timedStep(attach(ground.model, [method]), batch, executor);
  };
  let failed = 0;
  try {
    const lora = await ready('lora');
    for (const name of names)
      try {
        const own = await ready(name);
        const { seconds, beside } = await inTurns(own, lora, rounds);
        own.close();
        const speed = {
          method: name,
          tokensPerSecond: Math.round((length.batchSize * context) / seconds),
          besideLora: Number(beside.toFixed(3)),
        };
        await keep(speed);
        say(`${name}: ${speed.tokensPerSecond} tokens/s, a step takes ${speed.besideLora} of LoRA's`);
      } catch (error) {
        if (!isPeftError(error)) throw error;
        failed++;
        say(`${name} failed: ${error.message}`);
      }
    lora.close();
  } finally {
    await executor.close();
  }
  return failed;
};
