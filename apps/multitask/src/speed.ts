import { inTurns, type Timed, timedStep } from '@peftjs/bench';
import { attach } from '@peftjs/core';
import { type Contestant, contestants } from './methods.ts';
import { batchOf, rowOf } from './suite/rows.ts';
import type { Bench } from './training.ts';

/** The time of a method's step, as a line of a file. */
export interface Speed {
  readonly method: string;
  /** A multiple of LoRA's, by rounds in turns. */
  readonly besideLora: number;
}

/** Times a step of each method that is trained on all tasks at once, on a batch of examples of all, each in turns with LoRA. */
export const measureSpeeds = async (
  { model, tokenizer, executor, suite, settings }: Bench,
  { rounds, say }: { readonly rounds: number; readonly say: (text: string) => void },
): Promise<Speed[]> => {
  const examples = Array.from({ length: settings.batchSize }, (_, i) => {
    const task = i % suite.tasks.length;
    return rowOf(suite.tasks[task]!.train[i]!, task, tokenizer);
  });
  const timed = ({ method, tasked }: Contestant): Promise<Timed> =>
    timedStep(attach(model, [method]), batchOf(examples, tasked, false), executor);
  const [lora, ...others] = contestants(model, suite.tasks.length + 1);
  const plain = await timed(lora!);
  const speeds: Speed[] = [];
  for (const contestant of others) {
    const own = await timed(contestant);
    const { beside } = await inTurns(own, plain, rounds);
    own.close();
    speeds.push({ method: contestant.name, besideLora: Number(beside.toFixed(2)) });
    say(`${contestant.name}: a step takes ${beside.toFixed(2)} of LoRA's`);
  }
  plain.close();
  return speeds;
};
