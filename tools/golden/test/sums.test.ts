import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load, save } from '@peftjs/core';
import {
  type CombinationType,
  kappaTargets,
  lora,
  type MergeAdaptersOptions,
  mergeAdapters,
  reduceIntruderDimension,
} from '@peftjs/lora';
import { constant, evaluate, reference } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { loadModel } from '@peftjs/transformer';
import { describe, expect, onTestFinished, test } from 'vitest';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';

/** Those of `make_sums.py`. */
const ways: readonly (readonly [name: string, adapters: number, options: Partial<MergeAdaptersOptions>])[] = [
  ['cat', 3, {}],
  ['svd', 3, { rank: 5 }],
  ['linear', 2, {}],
  ['ties', 2, { density: 0.5 }],
  ['ties-frequency', 2, { density: 0.7, majoritySign: 'frequency' }],
  ['ties_svd', 3, { density: 0.5, rank: 5 }],
  ['magnitude_prune', 2, { density: 0.3 }],
  ['magnitude_prune_svd', 3, { density: 0.3, rank: 11 }],
  ['dare_linear', 2, { density: 1 }],
  ['dare_linear_svd', 3, { density: 1, rank: 4 }],
  ['dare_ties', 2, { density: 1 }],
  ['dare_ties_svd', 3, { density: 1, rank: 7 }],
];
const weights = [0.7, -0.4, 1.3];
const executor = reference();
const folder = join(import.meta.dirname, '../data/python/sums');

describe.each(['plain', 'gpt2'])('adapters on %s', (model) => {
  test.each(ways)('made one by %s give what PEFT gives', async (name, count, options) => {
    const base = await loadModel(modelDir(model));
    const recorded = await recordedIn(join(folder, `${model}.safetensors`));
    const { data, shape } = recorded.get('ids')!;
    const ids = constant(Int32Array.from(data), shape);
    const adapters = await Promise.all(
      [0, 1, 2].slice(0, count).map((i) => load(base, join(folder, `${model}-${i}`), [lora])),
    );
    const how = name.split('-')[0] as CombinationType;
    const { adapted } = await mergeAdapters(adapters, { executor, weights: weights.slice(0, count), how, ...options });
    const saved = await mkdtemp(join(tmpdir(), 'peftjs-sum-'));
    onTestFinished(() => rm(saved, { recursive: true }));
    await save(adapted, saved, { executor });
    for (const { model: view } of [adapted, await load(base, saved, [lora])]) {
      const { logits, before } = await evaluate({ logits: view.logits(ids), before: base.logits(ids) }, { executor });
      expect(distance(logits!, recorded.get(name)!.data)).toBeLessThan(1e-4);
      expect(distance(before!, recorded.get(name)!.data)).toBeGreaterThan(1e-2);
    }
  });
});

describe('on plain, as PEFT has it,', async () => {
  const base = await loadModel(modelDir('plain'));
  const recorded = await recordedIn(join(folder, 'plain-reduced.safetensors'));

  test('an adapter has less of its intruder dimensions', async () => {
    const { data, shape } = recorded.get('ids')!;
    const ids = constant(Int32Array.from(data), shape);
    const trained = await load(base, join(folder, 'plain-0'), [lora]);
    const options = { executor, topK: 4, threshold: 0.6, lambda: 0.25 };
    const { adapted, intruders } = await reduceIntruderDimension(trained, options);
    expect(new Set([...intruders.values()].map((n) => n > 0))).toEqual(new Set([true, false]));
    const logits = async (model: typeof base) =>
      (await evaluate({ y: model.logits(ids) }, { executor }))['y'] as Float32Array;
    expect(distance(await logits(adapted.model), recorded.get('logits')!.data)).toBeLessThan(1e-4);
    expect(distance(await logits(trained.model), recorded.get('logits')!.data)).toBeGreaterThan(1e-2);
  });

  test('layers are chosen by the condition numbers of their weights', async () => {
    const { target, kappas } = await kappaTargets(base, { executor, share: 0.3 });
    const named = (prefix: string): string[] =>
      [...recorded.keys()].flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
    const paths = named('kappa ');
    expect([...kappas.keys()].sort()).toEqual(paths.sort());
    for (const path of paths)
      expect(kappas.get(path)! / recorded.get(`kappa ${path}`)!.data[0]!, path).toBeCloseTo(1, 3);
    const chosen = named('chosen ').map((name) => name.split(' ') as [string, string]);
    expect(target).toEqual(chosen.sort(([one], [other]) => Number(one) - Number(other)).map(([, path]) => path));
  });
});
