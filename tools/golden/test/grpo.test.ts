import { join } from 'node:path';
import { grad } from '@peftjs/autograd';
import { type GrpoOptions, grpo, load } from '@peftjs/core';
import { fromArray } from '@peftjs/data';
import { lora } from '@peftjs/lora';
import { constant, type Executor, evaluate } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { adamw, oldLogProbs, train } from '@peftjs/trainer';
import { loadModel, meanOf } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';
import { executors } from './executors.ts';

const folder = join(import.meta.dirname, '../data/grpo');
const recorded = await recordedIn(join(folder, 'losses.safetensors'));
const base = await loadModel(modelDir('plain'));

/** Those of `make_grpo.py`. */
const cases: Readonly<Record<string, GrpoOptions>> = {
  dapo: {},
  'dapo-high': { clip: 0.1, clipHigh: 0.28, beta: 0.04 },
  grpo: { loss: 'grpo', beta: 0.1 },
  // Of one batch the same as dapo.
  bnpo: {},
  dr: { loss: 'dr', length: 7, beta: 0.1 },
  cispo: { loss: 'cispo', clipHigh: 0.2 },
  gspo: { loss: 'grpo', level: 'sequence', clip: 0.05 },
  'on-policy': { loss: 'grpo', beta: 0.1 },
  temperature: { temperature: 0.7, beta: 0.1 },
};

/** Inputs of a case: completions follow prompts of four tokens. */
const inputsOf = (name: string) => {
  const [ids, mask] = [recorded.get('ids')!, recorded.get('mask')!];
  const [rows, tokens] = ids.shape as [number, number];
  const completion = mask.shape[1]!;
  const begins = tokens - completion;
  const old = recorded.get(`${name} old`);
  const labels = new Int32Array(rows * tokens).fill(-100);
  const logProbs = new Float32Array(rows * tokens);
  for (let r = 0; r < rows; r++)
    for (let t = 0; t < completion; t++) {
      const at = r * tokens + begins + t;
      if (mask.data[r * completion + t] === 1) labels[at - 1] = ids.data[at]!;
      if (old) logProbs[at - 1] = old.data[r * completion + t]!;
    }
  return {
    ids: constant(Int32Array.from(ids.data), ids.shape),
    labels: constant(labels, ids.shape),
    rewards: constant(recorded.get('rewards')!.data, [rows]),
    advantages: constant(recorded.get('advantages')!.data, [rows, 1]),
    ...(old && { oldLogProbs: constant(logProbs, ids.shape) }),
  };
};

describe.each(executors)('on %s', (_, open) => {
  let executor: Executor;
  beforeAll(async () => {
    executor = await open();
  });
  afterAll(() => executor.close());

  test.each(Object.entries(cases))('the loss of %s is that of TRL, and its gradients', async (name, options) => {
    const adapted = await load(base, join(folder, 'adapter'), [lora]);
    const seed = constant(Uint32Array.of(1), []);
    const { metrics = {}, ...loss } = adapted.loss(inputsOf(name), seed, { objective: grpo(options) });
    const params = [...adapted.params.values()];
    const gradients = grad(meanOf(loss), params);
    const outputs = Object.fromEntries([...adapted.params.keys()].map((key, i) => [`gradient ${key}`, gradients[i]!]));
    const told = Object.fromEntries(Object.entries(metrics).map(([key, metric]) => [key, meanOf(metric)]));
    const found = await evaluate({ ...outputs, ...told, loss: meanOf(loss) }, { executor });
    expect(found['loss']![0]).toBeCloseTo(recorded.get(`${name} loss`)!.data[0]!, 5);
    for (const key of adapted.params.keys()) {
      const want = recorded.get(`${name} gradient base_model.model.${key}`)!.data;
      expect(distance(found[`gradient ${key}`]!, want), key).toBeLessThan(1e-4 * Math.max(...want.map(Math.abs), 0.1));
    }
    const kl = recorded.get(`${name} kl`);
    expect(found['kl']?.[0] ?? 0).toBeCloseTo(kl?.data[0] ?? 0, 4);
    const clipped = recorded.get(`${name} clip_ratio/region_mean`);
    if (clipped) expect(found['clipped']![0]).toBeCloseTo(clipped.data[0]!, 5);
    expect(found['reward']![0]).toBeCloseTo(2.75 / 4, 6);
  });

  test('three updates by one batch are those of TRL, with the log-probabilities of the weights that drew it', async () => {
    const adapted = await load(base, join(folder, 'adapter'), [lora]);
    const values = await evaluate(inputsOf('updates'), { executor });
    const wide = recorded.get('ids')!.shape;
    const rows = wide[0]!;
    const old = oldLogProbs(adapted.model, { executor });
    const batch = await old.added({
      rows,
      columns: values,
      shapes: { ids: wide, labels: wide, rewards: [rows], advantages: [rows, 1] },
    });
    old.close();
    const { losses } = await train(adapted, {
      executor,
      data: fromArray([batch, batch, batch]),
      steps: 3,
      schedule: () => 0.02,
      optimizer: adamw(),
      objective: grpo({ beta: 0.1 }),
    });
    const wanted = (name: string) => [...recorded.get(`updates ${name}`)!.data].map((x) => expect.closeTo(x, 4));
    expect(losses.map(({ loss }) => loss)).toEqual(wanted('losses'));
    expect(losses.map(({ metrics }) => metrics!['kl'])).toEqual(wanted('kl'));
    expect(losses.map(({ metrics }) => metrics!['clipped'])).toEqual(wanted('clipped'));
    expect(losses[2]!.metrics!['clipped']).toBeGreaterThan(0);
  });
});
