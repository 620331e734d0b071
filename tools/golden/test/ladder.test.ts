import { join } from 'node:path';
import { ladderSide } from '@peftjs/adapters';
import { attach, prepare } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { recordedRows } from '../src/choosing.ts';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';

test.each(['weights', 'fisher'] as const)('a side network pruned by %s begins as Python prunes it', async (start) => {
  const recorded = await recordedIn(join(import.meta.dirname, '../data/python/ladder.safetensors'));
  const data = recordedRows(recorded);
  const [base, executor] = [await loadModel(modelDir('plain')), reference()];
  const { params } = attach(base, await prepare(base, [ladderSide({ reduction: 2, start })], { executor, data }));
  const theirs = [...recorded].filter(([key]) => key.startsWith(`${start} `));
  expect(theirs.length).toBeGreaterThan(10);
  for (const [key, { shape: wanted, data: values }] of theirs) {
    const own = params.get(`ladder_side.${key.slice(start.length + 1)}`)!;
    expect(own.shape).toEqual(wanted);
    expect(Array.from(await executor.read(own))).toEqual(Array.from(values));
  }
});
