import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from '@peftjs/core';
import { readAdapters } from '@peftjs/io';
import { evaluate, reference } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { describe, expect, onTestFinished, test } from 'vitest';
import { combinationDir, combinations } from '../src/combinations.ts';
import { familyGoldens, familyModel, inputsOf, openModel, recordedIn, recordedOf } from '../src/families.ts';
import { readRecord } from '../src/record.ts';
import { requireSameFiles } from '../src/require-same-files.ts';
import { writeCombination } from '../src/write-combination.ts';

describe.each(combinations)('a combination, $name, on $model', (combination) => {
  const dir = combinationDir(combination);
  const golden = familyGoldens.find(({ name }) => name === combination.model)!;

  test('gave the same logits in PEFT, which took every tensor', async () => {
    const record = await readRecord(join(dir, 'record.json'));
    await requireSameFiles(familyModel(golden.name), record.base);
    await requireSameFiles(join(dir, 'adapter'), record.adapter);
    const base = await openModel(golden);
    const { model } = await load(base, join(dir, 'adapter'), combination.formats);
    const inputs = inputsOf(await recordedOf(golden.name, null));
    const { logits, before } = await evaluate(
      { logits: model.outputs(inputs), before: base.outputs(inputs) },
      { executor: reference() },
    );
    const there = (await recordedIn(join(dir, 'record.safetensors'))).get('logits')!.data;
    expect(distance(logits!, there)).toBeLessThan(1e-4);
    expect(distance(before!, there)).toBeGreaterThan(1e-2);
  });

  test('is what our code writes', async () => {
    const now = await mkdtemp(join(tmpdir(), 'peftjs-combination-'));
    onTestFinished(() => rm(now, { recursive: true }));
    await writeCombination(combination, now);
    const all = await Promise.all(
      [now, join(dir, 'adapter')].map(async (folder) => {
        const found = await readAdapters(folder);
        const parts = 'layout' in found ? [{ name: '', ...found }] : found;
        const card = await readFile(join(folder, 'README.md'), 'utf8');
        return { card, parts: parts.map(({ name, config, tensors }) => ({ name, raw: config.raw, tensors })) };
      }),
    );
    expect(all[0]).toEqual(all[1]);
  });
});
