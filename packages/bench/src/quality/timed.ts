import { type Adapted, chain } from '@peftjs/core';
import type { Executor } from '@peftjs/tensor';
import { adamw, type Batch, clip, makeTrainStep } from '@peftjs/trainer';
import { median, ratio } from '../stats.ts';

/** A training step that is timed. */
export interface Timed {
  /** Seconds of a step, by the mean of a few. */
  round(): Promise<number>;
  close(): void;
}

const stepsOfRound = 3;

/** Times AdamW's steps of an adapter on one batch, after a warm-up. */
export const timedStep = async (adapted: Adapted, batch: Batch, executor: Executor): Promise<Timed> => {
  const step = await makeTrainStep(adapted, { executor, optimizer: chain(clip(1), adamw()) });
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

/** The median seconds of a step, and their ratio to another's, which takes turns with it. */
export const inTurns = async (
  own: Timed,
  other: Timed,
  rounds: number,
): Promise<{ readonly seconds: number; readonly beside: number }> => {
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let i = 0; i < rounds; i++) {
    theirs.push(await other.round());
    ours.push(await own.round());
  }
  return { seconds: median(ours), beside: ratio(ours, theirs) };
};
