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

/** Times methods, each in turns with LoRA: `rounds` of a few steps, after a warm-up. Those that fail are told, and left out. */
export const measureSpeeds = async (
  names: readonly string[],
  { rounds, threads, say }: { readonly rounds: number; readonly threads: number; readonly say: (text: string) => void },
): Promise<Speed[]> => {
  const [executor, ground] = [await openDevice('cpu', { threads }), await loadGround()];
  const { rows, context } = ground.train;
  const batch = makeBatch(rows.slice(0, length.batchSize), length.batchSize, context);
  const ready = async (name: string): Promise<Timed> => {
    const { method } = await (await sized(methods.get(name)!, ground, length, executor)).ready();
    return timedStep(attach(ground.model, [method]), batch, executor);
  };
  const speeds: Speed[] = [];
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
