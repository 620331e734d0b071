import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { save } from '@peftjs/core';
import { readAdapter } from '@peftjs/io';
import { constant, type Executor, evaluate } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { goldens } from '../src/goldens.ts';
import { context, openFile, openTrained, rows, trainThreeSteps } from '../src/open-golden.ts';
import { readGolden } from '../src/python-golden.ts';
import { executors } from './executors.ts';

const cases = goldens.filter(({ name }) => name.endsWith('-adalora'));
const keyOf = (path: string): string => `base_model.model.${path}.lora_E`;

describe.each(executors)("AdaLoRA's ranks, on %s", (_, open) => {
  let executor: Executor;
  beforeAll(async () => void (executor = await open()));
  afterAll(() => executor.close());

  describe.each(cases)('$name', (golden) => {
    test('are allocated as in Hugging Face PEFT', async () => {
      const record = await readGolden(golden.name);
      const adapted = await openTrained(golden, record, executor);
      const paths = [...adapted.running.keys()].flatMap((n) => (n.endsWith('.importance') ? [n.slice(0, -11)] : []));
      expect(paths.length).toBeGreaterThan(3);
      const allocations: number[] = [];
      await trainThreeSteps(golden, adapted, record, executor, async (step) => {
        const at = step - 1; // Python counts from 0
        const budget = record.further.get(`budget ${at}`)?.[0];
        if (budget === undefined) return;
        allocations.push(at);
        let total = 0;
        for (const path of paths) {
          const importance = record.further.get(`importance ${at} ${keyOf(path)}`)!;
          const ours = await executor.read(adapted.running.get(`${path}.importance`)!);
          const largest = distance(importance, new Float32Array(importance.length));
          expect(distance(ours, importance) / largest, `${path} at step ${at}`).toBeLessThan(1e-3);
          const kept = Array.from(await executor.read(adapted.params.get(`${path}.lora_E`)!), (e) => Number(e !== 0));
          expect(kept, `${path} at step ${at}`).toEqual([...record.further.get(`kept ${at} ${keyOf(path)}`)!]);
          total += kept.reduce((n, one) => n + one);
        }
        expect(total).toBe(budget);
      });
      expect(allocations).toEqual([1, 2]);
      const { logits } = await evaluate(
        { logits: adapted.model.logits(constant(record.ids, [rows, context])) },
        { executor },
      );
      expect(distance(logits!, record.further.get('allocated logits')!)).toBeLessThan(5e-4);

      const dir = await mkdtemp(join(tmpdir(), 'peftjs-adalora-'));
      onTestFinished(() => rm(dir, { recursive: true }));
      await save(adapted, dir, { executor });
      const theirs = record.adapterDir.replace(/adapter$/, 'adapter-allocated');
      const pattern = async (folder: string): Promise<unknown> =>
        JSON.parse(await readFile(join(folder, 'adapter_config.json'), 'utf8')).rank_pattern;
      expect(await pattern(dir)).toEqual(await pattern(theirs));
      const [saved, expected] = [await readAdapter(dir), await readAdapter(theirs)];
      expect([...saved.tensors.keys()].sort()).toEqual([...expected.tensors.keys()].sort());
      for (const [name, { shape, data }] of expected.tensors) {
        expect(saved.tensors.get(name)!.shape, name).toEqual(shape);
        expect(distance(saved.tensors.get(name)!.data, data), name).toBeLessThan(5e-5);
      }
    });

    test('are read from the file that Hugging Face PEFT wrote after it', async () => {
      const record = await readGolden(golden.name);
      const dir = record.adapterDir.replace(/adapter$/, 'adapter-allocated');
      const { model, decision, running } = await openFile(golden, dir);
      const { logits } = await evaluate({ logits: model.logits(constant(record.ids, [rows, context])) }, { executor });
      expect(distance(logits!, record.further.get('allocated logits')!)).toBeLessThan(1e-4);
      expect([decision, running.size]).toEqual([null, 0]);
    });
  });
});
