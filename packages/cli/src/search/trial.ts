import { stat } from 'node:fs/promises';
import { type Executor, isPeftError } from '@peftjs/tensor';
import { train } from '@peftjs/trainer';
import type { RunConfig } from '../config/schema.ts';
import type { Context } from '../context.ts';
import { Stopped } from '../exit-codes.ts';
import { training } from '../train/optimizer.ts';
import { type Ground, onGround } from '../train/prepared.ts';
import { resultOf, runFiles } from '../train/run-folder.ts';
import { runOf } from '../train/train-run.ts';

/** The loss of a run that came to no finite one. */
const none = Number.POSITIVE_INFINITY;

const orNone = async (work: Promise<number>): Promise<number> => {
  try {
    return await work;
  } catch (error) {
    if (isPeftError(error) && error.code === 'diverged') return none;
    throw error;
  }
};

/** The held-out loss of a short trial, of which nothing is kept. Throws `Stopped` where it was ended. */
export const tryOut = (config: RunConfig, ground: Ground, executor: Executor, context: Context): Promise<number> =>
  orNone(
    (async () => {
      const ready = await onGround(ground, config, executor);
      const { heldOut, stopped } = await train(ready.adapted, {
        ...training(config, ready, executor, context),
        heldOut: { data: ready.examples.heldOut!, every: ready.steps, metrics: [] },
      });
      if (stopped !== null && stopped !== 'patience')
        throw new Stopped(
          'Stopped; the trials that are done are kept. The same command goes on.',
          stopped === 'SIGTERM' ? 143 : 130,
        );
      return heldOut.at(-1)!.loss;
    })(),
  );

/** The held-out loss of a trial that is a run of its own, in a folder; one that was begun before goes on, one that is done is taken as it is. */
export const runWhole = (
  config: RunConfig,
  dir: string,
  on: { readonly ground: Ground; readonly executor: Executor },
  context: Context,
): Promise<number> => {
  return orNone(
    (async () => {
      const done = await resultOf(dir);
      if (done) return done.heldOut?.[1] ?? none;
      const isBegun = await stat(runFiles(dir).config).catch(() => null);
      const found = await runOf(config, context, isBegun ? { dir, on } : { into: dir, on });
      return found!.heldOut?.[1] ?? none;
    })(),
  );
};
