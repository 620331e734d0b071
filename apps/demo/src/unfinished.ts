import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PeftError, type TypedArray } from '@peftjs/tensor';
import type { TrainResult } from '@peftjs/trainer';
import type { Chosen } from './chosen.ts';
import type { DemoOptions } from './options.ts';

/** The file of a run that was cut short: the same command finds it and goes on. Another task, method, model, examples, seed, rate, target, batch or number of steps has another. */
export const unfinishedFile = (
  { out, task, steps, seed, rank, quantize, target, batch }: DemoOptions,
  madeOf: readonly (string | TypedArray)[],
  { label, learningRate }: Pick<Chosen, 'label' | 'learningRate'>,
): string => {
  const hash = createHash('sha256').update(
    JSON.stringify([task, label, learningRate, steps, seed, rank, quantize, target, batch]),
  );
  for (const part of madeOf) hash.update(part);
  return join(out, `unfinished-${hash.digest('hex').slice(0, 12)}.safetensors`);
};

/** Removes it, once there are results. */
export const finish = async (file: string): Promise<void> => {
  for (const path of [file, `${file}.1`]) await rm(path, { force: true });
};

/** Throws where a run was ended by Ctrl-C or whoever runs it, with what is kept. */
export const checkFinished = (
  { stopped, losses, resumed }: TrainResult,
  { steps }: Pick<DemoOptions, 'steps'>,
): void => {
  if (stopped === null) return;
  const done = losses.at(-1)?.step ?? resumed?.step ?? 0;
  throw new PeftError(
    'bad-program',
    `Stopped after step ${done} of ${steps}, which are kept: the same command goes on from there.`,
  );
};
