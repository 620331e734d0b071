import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';
import { constant, type Executor, evaluate } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { written } from '../src/goldens.ts';
import { context, openFile, rows } from '../src/open-golden.ts';
import { modelDir, writtenDir } from '../src/python-golden.ts';
import { readRecord } from '../src/record.ts';
import { requireSameFiles } from '../src/require-same-files.ts';
import { atTokens } from '../src/token-logits.ts';
import { writeAdapter } from '../src/write-adapter.ts';
import { executors } from './executors.ts';

/** What Python reads: the digest is for us alone. */
const filesIn = async (dir: string): Promise<string[]> =>
  (await readdir(dir, { recursive: true }))
    .filter((name) => /\.\w+$/.test(name) && name !== 'adapter_digest.json')
    .sort();

const tensorsIn = async (file: string): Promise<Map<string, Float32Array>> => {
  await using opened = await openSafetensors(file);
  const all = new Map<string, Float32Array>();
  for (const name of opened.tensors.keys()) all.set(name, await opened.readFloat32(name));
  return all;
};

describe.each(written)('the adapter $name that Python read', (golden) => {
  const dir = writtenDir(golden.name);

  test('is what our code writes', async () => {
    const now = await mkdtemp(join(tmpdir(), 'peftjs-written-'));
    onTestFinished(() => rm(now, { recursive: true }));
    await writeAdapter(golden, now);
    const then = join(dir, 'adapter');
    expect(await filesIn(now)).toEqual(await filesIn(then));
    for (const name of await filesIn(then)) {
      const [ours, kept] = [join(now, name), join(then, name)];
      if (name.endsWith('.json')) {
        expect(JSON.parse(await readFile(ours, 'utf8')), name).toEqual(JSON.parse(await readFile(kept, 'utf8')));
        continue;
      }
      const tensors = await tensorsIn(ours);
      const expected = await tensorsIn(kept);
      expect([...tensors.keys()].sort()).toEqual([...expected.keys()].sort());
      for (const [tensor, values] of expected)
        expect(distance(tensors.get(tensor)!, values), tensor).toBeLessThan(1e-4);
    }
  });

  describe.each(executors)('on %s', (_, open) => {
    let executor: Executor;
    beforeAll(async () => void (executor = await open()));
    afterAll(() => executor.close());

    test('gave the same logits there', async () => {
      const record = await readRecord(join(dir, 'record.json'));
      await requireSameFiles(modelDir(golden.model), record.base);
      await requireSameFiles(join(dir, 'adapter'), record.adapter);
      const recorded = await tensorsIn(join(dir, 'record.safetensors'));
      const { model } = await openFile(golden, join(dir, 'adapter'));
      const { vocabSize } = model.config;
      const logits = recorded.get('logits')!;
      const ids = constant(Int32Array.from(recorded.get('ids')!), [rows, context]);
      const there = constant(logits, [rows, logits.length / rows / vocabSize, vocabSize]);
      const [ours, theirs] = atTokens(model.logits(ids), there);
      const values = await evaluate({ ours, theirs }, { executor });
      expect(distance(values['ours']!, values['theirs']!)).toBeLessThan(1e-4);
    });
  });
});
