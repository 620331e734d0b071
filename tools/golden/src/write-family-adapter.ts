import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { save } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { type FamilyAdapter, familyAdapter, openAdapter, recordedInputs, trainOnBatch } from './families.ts';

/** Trains an adapter that Python made three steps further, always the same way, and saves it, without the card for people. */
export const writeFamilyAdapter = async (golden: FamilyAdapter, dir: string): Promise<void> => {
  const executor = reference();
  const { name, adapter, format } = golden;
  const adapted = await openAdapter(golden, familyAdapter(name, adapter), format);
  await trainOnBatch(adapted, await recordedInputs(name, adapter), executor);
  await save(adapted, dir, { executor, baseModel: name });
  await rm(join(dir, 'README.md'), { force: true });
};
