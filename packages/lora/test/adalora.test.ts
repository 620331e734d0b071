import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Adapted, attach, load, makeBetween, save } from '@peftjs/core';
import { type Executor, evaluate, reference } from '@peftjs/tensor';
import { distance, openExecutors, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { describe, expect, onTestFinished, test } from 'vitest';
import { budgetAt } from '../src/adalora/rank-budget.ts';
import { adalora } from '../src/index.ts';

const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const logits = async ({ model }: Adapted, executor: Executor): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor }))['y'] as Float32Array;

const scratch = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'adalora-test-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
};

const q = 'model.layers.0.self_attn.q_proj';

describe('adalora', () => {
  test('lets the budget fall by a cubic, between warm-up and the last steps', () => {
    const options = { rank: 12, targetRank: 8, steps: 100, warmup: 10, final: 30, interval: 5 };
    expect([0, 10, 40, 70, 99].map((t) => budgetAt(4, options, t))).toEqual([48, 48, 34, 32, 32]);
  });

  test('decides after warm-up, every interval, and once more when the ranks are final', () => {
    const method = adalora({ rank: 2, targetRank: 1, steps: 20, warmup: 3, final: 6, interval: 4 });
    const { decision } = attach(tinyLlama(), [method]);
    const due = Array.from({ length: 20 }, (_, i) => i + 1).filter((step) => decision!.due(step));
    expect(due).toEqual([5, 9, 13, 15]);
  });

  test('keeps the most important triplets, and holds the others at zero once that is final', async () => {
    const r = reference();
    const adapted = attach(tinyLlama(), [adalora({ rank: 3, targetRank: 1, steps: 4, target: ['q_proj', 'v_proj'] })]);
    await shake(adapted.params, { executor: r });
    const scores = [...adapted.running].filter(([name]) => name.endsWith('.importance'));
    expect(scores.length).toBe(4);
    for (const [i, [, v]] of scores.entries()) await r.write(v, Float32Array.of(i, 10 + i, i === 3 ? 20 : 0));
    const flagsOf = async (): Promise<number[][]> =>
      Promise.all(
        scores.map(async ([name]) =>
          Array.from(await r.read(adapted.params.get(name.replace(/importance$/, 'lora_E'))!), (e) => Number(e !== 0)),
        ),
      );
    await adapted.decision!.run(5, makeBetween({ executor: r, params: [], state: new Map(), rewarm: () => {} }));
    expect(await flagsOf()).toEqual([
      [0, 0, 0],
      [0, 1, 0],
      [0, 1, 0],
      [0, 1, 1],
    ]);
    const mask = await r.read(adapted.running.get(`${q}.mask`)!);
    expect([...mask]).toEqual([0, 0, 0]);
  });

  test.each<[string, () => Promise<Executor>]>([['reference', async () => reference()], ...openExecutors()])(
    'saves only what was kept, and loads a layer that lost every triplet, on %s',
    async (_, open) => {
      const executor = await open();
      const base = tinyLlama();
      const adapted = attach(base, [adalora({ rank: 3, targetRank: 1 })]);
      await shake(adapted.params, { executor });
      await executor.write(adapted.params.get(`${q}.lora_E`)!, new Float32Array(3));
      const wanted = await logits(adapted, executor);
      const dir = await scratch();
      await save(adapted, dir, { executor });
      const config = JSON.parse(await readFile(join(dir, 'adapter_config.json'), 'utf8'));
      expect(config.rank_pattern[`${q}.lora_E`]).toEqual([false, false, false]);
      const again = await load(base, dir, [adalora]);
      expect(again.state.get(`${q}.lora_A`)!.shape).toEqual([0, 8]);
      expect(again.params.has(`${q}.lora_A`)).toBe(false);
      expect(distance(await logits(again, executor), wanted)).toBeLessThan(1e-6);
      const once = await scratch();
      await save(again, once, { executor });
      expect(await readFile(join(once, 'adapter_config.json'), 'utf8')).toBe(
        await readFile(join(dir, 'adapter_config.json'), 'utf8'),
      );
    },
  );

  test('leaves nothing out before it is trained', async () => {
    const r = reference();
    const dir = await scratch();
    await save(attach(tinyLlama(), [adalora({ rank: 3, targetRank: 1 })]), dir, { executor: r });
    const { rank_pattern } = JSON.parse(await readFile(join(dir, 'adapter_config.json'), 'utf8'));
    expect(rank_pattern).toBe(null);
    expect((await load(tinyLlama(), dir, [adalora])).params.get(`${q}.lora_E`)!.shape).toEqual([3, 1]);
  });

  test('says what is wrong', () => {
    expect(() => adalora({ rank: 4, targetRank: 6 })).toThrow('adalora: targetRank 6 must not be above rank 4');
    expect(() => adalora({ steps: 100, warmup: 60, final: 40 })).toThrow(
      'adalora: warmup 60 and final 40 leave none of 100 steps between them',
    );
  });
});
