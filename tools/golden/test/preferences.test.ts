import { join } from 'node:path';
import { cpo, dpo, kto, load, type Objective, orpo, simpo } from '@peftjs/core';
import { type Batch, fromArray } from '@peftjs/data';
import { lora } from '@peftjs/lora';
import type { Executor } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { adamw, chain, clip, train } from '@peftjs/trainer';
import { causalLM, loadModel, reward } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';
import { executors } from './executors.ts';

const folder = join(import.meta.dirname, '../data/preferences');
const steps = 20;
const context = 16;

/** Those of `make_preferences.py`. */
const cases: Readonly<Record<string, Objective | null>> = {
  'dpo-sigmoid': dpo({ beta: 0.3 }),
  'dpo-hinge': dpo({ beta: 0.3, loss: 'hinge' }),
  'dpo-ipo': dpo({ beta: 0.3, loss: 'ipo' }),
  'dpo-robust': dpo({ beta: 0.3, loss: 'robust', labelSmoothing: 0.1 }),
  'dpo-exo': dpo({ beta: 0.3, loss: 'exo', labelSmoothing: 0.05 }),
  'dpo-nca': dpo({ beta: 0.3, loss: 'nca' }),
  'dpo-bco': dpo({ beta: 0.3, loss: 'bco' }),
  'dpo-sppo': dpo({ beta: 0.3, loss: 'sppo' }),
  'dpo-apo-zero': dpo({ beta: 0.3, loss: 'apoZero' }),
  'dpo-apo-down': dpo({ beta: 0.3, loss: 'apoDown' }),
  'dpo-sigmoid-norm': dpo({ beta: 0.3, loss: 'sigmoidNorm' }),
  cpo: cpo({ beta: 0.2, labelSmoothing: 0.1 }),
  'cpo-hinge': cpo({ beta: 0.2, loss: 'hinge', supervised: 0.5 }),
  'cpo-ipo': cpo({ beta: 0.2, loss: 'ipo' }),
  simpo: simpo({ beta: 2, margin: 0.6 }),
  orpo: orpo({ beta: 0.3 }),
  kto: kto({ beta: 0.3, desirable: 1.5, undesirable: 0.8 }),
  // The task's own loss.
  reward: null,
};

/** TRL's names of what is reported. */
const names: Readonly<Record<string, string>> = {
  margin: 'rewards/margins',
  accuracy: 'rewards/accuracies',
  chosenReward: 'rewards/chosen',
  rejectedReward: 'rewards/rejected',
  chosenLogProb: 'logps/chosen',
  rejectedLogProb: 'logps/rejected',
};

type Recorded = Awaited<ReturnType<typeof recordedIn>>;

/** The batch of a step, filled up to one length; ids of −1 and labels of −100 fill rows up, labels are those of the same place, none where a reward is read. */
const batchOf = (recorded: Recorded, step: number): Batch => {
  const [ids, labels] = [recorded.get(`ids ${step}`)!, recorded.get(`labels ${step}`)!];
  const [rows, tokens] = ids.shape as [number, number];
  const columns = {
    ids: new Int32Array(rows * context),
    labels: new Int32Array(rows * context).fill(-100),
    mask: new Float32Array(rows * context),
  };
  for (let r = 0; r < rows; r++)
    for (let t = 0; t < tokens; t++) {
      const id = ids.data[r * tokens + t]!;
      columns.ids[r * context + t] = Math.max(0, id);
      columns.mask[r * context + t] = id < 0 ? 0 : 1;
      if (t > 0) columns.labels[r * context + t - 1] = labels.data[r * tokens + t]!;
    }
  const shapes = { ids: [rows, context], labels: [rows, context], mask: [rows, context] };
  const verdicts = recorded.get(`desirable ${step}`)?.data;
  if (!verdicts) return { rows, columns, shapes };
  // Each row has the verdict of its pair.
  const desirable = Float32Array.from({ length: rows }, (_, r) => verdicts[r >> 1]!);
  return { rows, columns: { ...columns, desirable }, shapes: { ...shapes, desirable: [rows, 1] } };
};

/** All on the cpu executor; three of them on the definition too. */
const casesOn = (executor: string): readonly (readonly [string, Objective | null])[] =>
  Object.entries(cases).filter(([name]) => executor === 'cpu' || ['dpo-sigmoid', 'orpo', 'reward'].includes(name));

describe.each(executors)('on %s', (on, open) => {
  let executor: Executor;
  beforeAll(async () => {
    executor = await open();
  });
  afterAll(() => executor.close());

  test.each(casesOn(on))('twenty steps of %s are those of TRL', async (name, objective) => {
    const recorded = await recordedIn(join(folder, name, 'steps.safetensors'));
    const base = await loadModel(modelDir('plain'), { task: objective ? causalLM() : reward({ centre: 0.05 }) });
    const [adapted, wanted] = await Promise.all(
      ['before', 'after'].map((p) => load(base, join(folder, name, p), [lora])),
    );
    const batches = Array.from({ length: steps }, (__, step) => batchOf(recorded, step));
    const { losses } = await train(adapted!, {
      executor,
      data: fromArray(batches),
      steps,
      schedule: () => 1e-2,
      optimizer: chain(clip(1), adamw()),
      ...(objective && { objective }),
    });
    expect(losses).toHaveLength(steps);
    const apart = (of: (i: number) => number, column: string): number =>
      distance(
        Float32Array.from({ length: steps }, (__, i) => of(i)),
        recorded.get(column)!.data,
      );
    expect(apart((i) => losses[i]!.loss, 'losses')).toBeLessThan(5e-5);
    const reported = Object.keys(losses[0]!.metrics!).map((name) => [name, recorded.has(name) ? name : names[name]!]);
    for (const [metric, column] of reported as [string, string][])
      expect(
        apart((i) => losses[i]!.metrics![metric]!, column),
        metric,
      ).toBeLessThan(1e-4);
    for (const [key, v] of adapted!.params) {
      const want = await executor.read(wanted!.params.get(key)!);
      expect(distance(await executor.read(v), want), key).toBeLessThan(1e-4);
    }
  });
});
