import { join } from 'node:path';
import { grad } from '@peftjs/autograd';
import { attach, distillation, labelSmoothing, neftune, type Objective, ptp, tFew, type Views } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { layerNormTuning } from '@peftjs/selective';
import { constant, type Executor, evaluate, type Tensor, variable } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import {
  causalLM,
  type Head,
  type Linear,
  loadModel,
  meanOf,
  sequenceClassifier,
  type Task,
  type TaskModel,
  tokenClassifier,
} from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';
import { executors } from './executors.ts';

const recorded = await recordedIn(join(import.meta.dirname, '../data/objectives.safetensors'));
const whole = (name: string): Tensor => {
  const { data, shape } = recorded.get(name)!;
  return constant(Int32Array.from(data), shape);
};
const numbers = (name: string): Tensor => constant(recorded.get(name)!.data, recorded.get(name)!.shape);
const plain = await loadModel(modelDir('plain'));

/** A head whose features are the logits. */
const headOf = (logits: Tensor): Head => {
  const [inDim, refuse] = [logits.shape.at(-1)!, (): never => expect.unreachable()];
  const layer: Linear = { inDim, outDim: inDim, apply: (x) => x, dense: refuse, encode: refuse };
  return { layer, features: logits, mask: null, call: null as never };
};

/** A view of one pass whose logits are given. */
const viewOf = (task: Task<Tensor>, logits: Tensor): TaskModel => {
  const head = headOf(logits);
  const run: TaskModel['run'] = (inputs) => ({
    states: null as never,
    head,
    outputs: () => logits,
    loss: () => task.loss(head, inputs),
    labelLosses: ({ labels, ...how } = {}) => task.labelLosses!(head, labels ? { ...inputs, labels } : inputs, how),
  });
  return { ...plain, task, run };
};

const labels = 4;
const classWeights = [0.5, 2, 1, 0.25];
/** Of `make_objectives.py`. */
const classifiers = {
  weights: { labels, classWeights },
  smoothing: { labels, labelSmoothing: 0.2 },
  focus: { labels, focus: 2 },
  'focus-weights': { labels, focus: 2, classWeights },
};
const languageModels: Readonly<Record<string, readonly [Objective, Readonly<Record<string, Tensor>>]>> = {
  'lm-smoothing': [labelSmoothing({ smoothing: 0.2 }), { ids: whole('ids'), labels: whole('targets') }],
  distillation: [
    distillation({ teacher: 'columns', temperature: 3, weight: 0.7 }),
    {
      ids: whole('ids'),
      labels: whole('targets'),
      teacherIds: whole('teacherIds'),
      teacherLogits: numbers('teacherLogits'),
    },
  ],
  mse: [
    distillation({ teacher: () => numbers('teacher'), measure: 'mse', weight: 1 }),
    { ids: whole('ids'), labels: whole('targets') },
  ],
  't-few': [tFew({ choices: 3, ranking: 0.5, unlikelihood: 0.7 }), { ids: whole('choices'), labels: whole('answers') }],
};

describe.each(executors)('on %s', (_, open) => {
  let executor: Executor;
  beforeAll(async () => {
    executor = await open();
  });
  afterAll(() => executor.close());

  const isSame = async (name: string, loss: Tensor, logits: Tensor): Promise<void> => {
    const found = await evaluate({ loss, gradient: grad(loss, [logits])[0]! }, { executor });
    expect(distance(found['loss']!, recorded.get(`${name} loss`)!.data)).toBeLessThan(1e-5);
    expect(distance(found['gradient']!, recorded.get(`${name} gradient`)!.data)).toBeLessThan(1e-6);
  };

  test.each(Object.entries(classifiers))('classes weighed by %s have the loss of torch', async (name, options) => {
    const logits = variable('logits', recorded.get('logits')!.shape, recorded.get('logits')!.data);
    const texts = sequenceClassifier(options).loss(headOf(logits), { labels: whole('labels') });
    await isSame(name, meanOf(texts), logits);
    const [rows] = logits.shape as [number];
    const tokens = variable('tokens', [1, rows, labels], recorded.get('logits')!.data);
    const given = constant(Int32Array.from(recorded.get('labels')!.data), [1, rows]);
    await isSame(name, meanOf(tokenClassifier(options).loss(headOf(tokens), { labels: given })), tokens);
  });

  test.each(Object.entries(languageModels))('%s has the loss of its reference', async (name, [objective, inputs]) => {
    const values = await evaluate({ logits: plain.outputs(inputs) }, { executor });
    const logits = variable('logits', [...inputs['ids']!.shape, 29], values['logits']!);
    const view = viewOf(causalLM(), logits);
    const views: Views = { train: () => view, evaluate: view, base: view, draw: null, passes: [] };
    const { metrics, ...loss } = objective(views, inputs);
    await isSame(name, meanOf(loss), logits);
    if (!metrics) return;
    const found = await evaluate({ accuracy: meanOf(metrics['accuracy']!) }, { executor });
    expect(found['accuracy']![0]).toBe(recorded.get('t-few accuracy')!.data[0]);
  });

  test('neftune draws noise of its size at the tokens alone, anew in every step', async () => {
    const adapted = attach(plain, [lora({ rank: 2 })]);
    const inputs = { ids: whole('ids'), labels: whole('targets') };
    const seen: Tensor[] = [];
    const path = plain.towers[0].paths('embed')[0]!;
    const watching: Objective = (views, given) => {
      for (const view of [views.train(), views.evaluate])
        seen.push(view.embeddings.get(path)!.apply(given['ids']!, null as never));
      return views.evaluate.loss(given);
    };
    for (const seed of [1, 2])
      adapted.loss(inputs, constant(Uint32Array.of(seed), []), {
        objective: neftune({ alpha: 3, objective: watching }),
      });
    const [a, still, b] = seen as [Tensor, Tensor, Tensor];
    const found = await evaluate({ a, still, b }, { executor });
    const noise = (name: string): number[] => [...found[name]!].map((x, i) => x - found['still']![i]!);
    const [tokens, width] = a.shape.slice(-2) as [number, number];
    const size = 3 / Math.sqrt(tokens * width);
    for (const name of ['a', 'b']) {
      expect(Math.max(...noise(name))).toBeLessThanOrEqual(size + 1e-5);
      expect(Math.max(...noise(name))).toBeGreaterThan(0.95 * size);
      expect(Math.min(...noise(name))).toBeLessThan(-0.95 * size);
      expect(Math.abs(noise(name).reduce((x, y) => x + y) / noise(name).length)).toBeLessThan(0.1 * size);
    }
    expect(noise('a')).not.toEqual(noise('b'));
    const loss = await evaluate(
      {
        own: meanOf(plain.loss(inputs)),
        noisy: meanOf(adapted.loss(inputs, constant(Uint32Array.of(1), []), { objective: neftune() })),
      },
      { executor },
    );
    expect(loss['noisy']![0]).not.toBeCloseTo(loss['own']![0]!, 4);
  });

  test('ptp trains on what its ascent makes of a text too, as torch does', async () => {
    const { loss, params } = attach(plain, [layerNormTuning({ target: ['model.norm'] })]);
    const inputs = { ids: whole('ids'), labels: whole('targets') };
    const objective = ptp({ kind: 'adversarial', size: 0.9, stepSize: 0.4, weight: 0.7 });
    const both = meanOf(loss(inputs, constant(Uint32Array.of(1), []), { objective }));
    const [norm] = [...params.values()];
    const found = await evaluate({ both, gradient: grad(both, [norm!])[0]! }, { executor });
    expect(found['both']![0]).toBeCloseTo(recorded.get('ptp loss')!.data[0]!, 5);
    expect(distance(found['gradient']!, recorded.get('ptp gradient')!.data)).toBeLessThan(1e-5);
    // It is made larger.
    expect(recorded.get('ptp loss')!.data[0]!).toBeGreaterThan(1.75 * recorded.get('ptp clean')!.data[0]!);
  });

  test('ptp draws normal noise of its size, anew in every pass', async () => {
    const adapted = attach(plain, [lora({ rank: 2 })]);
    const inputs = { ids: whole('ids'), labels: whole('targets') };
    const seen: Tensor[] = [];
    const [path] = plain.towers[0].paths('embed');
    const watching: Objective = (views, given) => {
      seen.push(
        views
          .train()
          .embeddings.get(path!)!
          .apply(given['ids']!, null as never),
      );
      return views.evaluate.loss(given);
    };
    const objective = ptp({ kind: 'random', size: 0.3, objective: watching });
    adapted.loss(inputs, constant(Uint32Array.of(1), []), { objective });
    const [moved, still] = seen as [Tensor, Tensor];
    const found = await evaluate({ moved, still }, { executor });
    const noise = [...found['moved']!].map((x, i) => x - found['still']![i]!);
    const mean = noise.reduce((a, b) => a + b) / noise.length;
    const deviation = Math.sqrt(noise.reduce((a, b) => a + (b - mean) ** 2, 0) / noise.length);
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(deviation - 0.3)).toBeLessThan(0.03);
    expect(Math.max(...noise)).toBeGreaterThan(0.6);
    expect(() => ptp({ kind: 'random' } as never)).toThrow(/ptp: size is missing/);
  });
});
