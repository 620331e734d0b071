import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { save } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import type { Golden } from './goldens.ts';
import { openTrained, trainThreeSteps } from './open-golden.ts';
import { readGolden } from './python-golden.ts';

/** Trains the adapter of a golden three steps, always the same way, and saves it, without the card for people. */
export const writeAdapter = async (golden: Golden, dir: string): Promise<void> => {
  const executor = reference();
  const record = await readGolden(golden.name);
  const adapted = await openTrained(golden, record, executor);
  await trainThreeSteps(golden, adapted, record, executor);
  await (golden.save ?? save)(adapted, dir, { executor, baseModel: golden.model });
  await rm(join(dir, 'README.md'), { force: true });
};
