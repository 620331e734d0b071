import { grad } from '@peftjs/autograd';
import { attach, distillation, dpo, type Objective, orpo, proGrad, supervised } from '@peftjs/core';
import { type Batch, fromArray, ignored } from '@peftjs/data';
import { lora } from '@peftjs/lora';
import { constant, evaluate, reference, sum } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { shake, tinyLlama } from '@peftjs/testkit';
import { meanOf } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { allWeights, evaluateLoss, makeTrainStep, type Progress, sgd, train } from './index.ts';

const executor = reference();
const context = 6;

/** Pairs of completions that begin at the third token; rows are filled up behind so many tokens. */
const pairs = (first: number, lengths: readonly number[]): Batch => {
  const ids = new Int32Array(lengths.length * context);
  const labels = new Int32Array(lengths.length * context).fill(ignored);
  for (const [r, length] of lengths.entries())
    for (let t = 0; t < length; t++) {
      ids[r * context + t] = (first * 3 + r * 5 + t * 2) % 13;
      if (t > 1) labels[r * context + t] = (first + r * 7 + t * 3) % 13;
    }
  const shape = [lengths.length, context];
  return { rows: lengths.length, columns: { ids, labels }, shapes: { ids: shape, labels: shape } };
};

const joined = (a: Batch, b: Batch): Batch => ({
  rows: a.rows + b.rows,
  columns: Object.fromEntries(
    Object.keys(a.columns).map((name) => [name, Int32Array.of(...a.columns[name]!, ...b.columns[name]!)]),
  ),
  shapes: Object.fromEntries(Object.keys(a.shapes).map((name) => [name, [a.rows + b.rows, context]])),
});

const target = async () => {
  const adapted = attach(tinyLlama(), [lora({ rank: 2, target: 'all-linear' })]);
  await shake(adapted.params, { executor });
  return adapted;
};

test('losses by label add up to the loss of the head, and have its gradient', async () => {
  const { columns, shapes } = pairs(0, [6, 4]);
  const inputs = Object.fromEntries(
    Object.entries(columns).map(([name, data]) => [name, constant(data, shapes[name]!)]),
  );
  const adapted = await target();
  const run = adapted.model.run(inputs);
  const params = [...adapted.params.values()];
  const [whole, { losses, counted }] = [run.loss(), run.labelLosses()];
  const added = sum(losses);
  const outputs = {
    ...Object.fromEntries(grad(whole.sum, params).map((g, i) => [`gradient ${i}`, g])),
    loss: whole.sum,
    weight: whole.weight,
  };
  const again = {
    ...Object.fromEntries(grad(added, params).map((g, i) => [`gradient ${i}`, g])),
    loss: added,
    weight: sum(counted),
  };
  const [want, got] = [await evaluate(outputs, { executor }), await evaluate(again, { executor })];
  for (const [name, values] of Object.entries(want))
    for (const [i, value] of values.entries()) expect(got[name]![i], name).toBeCloseTo(value, 5);
});

test('proGrad takes out of the gradient of each tensor what goes against the base, and reports the loss as it is', async () => {
  const { columns, shapes } = pairs(0, [6, 4]);
  const inputs = Object.fromEntries(
    Object.entries(columns).map(([name, data]) => [name, constant(data, shapes[name]!)]),
  );
  const adapted = await target();
  const params = [...adapted.params.values()];
  const by = (objective: Objective) => {
    const loss = meanOf(adapted.loss(inputs, constant(Uint32Array.of(1), []), { objective }));
    const gradients = grad(loss, params).map((g, i) => [`gradient ${i}`, g] as const);
    return evaluate({ loss, ...Object.fromEntries(gradients) }, { executor });
  };
  const own = await by(supervised as Objective);
  const general = await by(distillation({ temperature: 2, weight: 1 }));
  const got = await by(proGrad({ params: adapted.params, temperature: 2, weight: 0.5 }));
  expect(got['loss']![0]).toBe(own['loss']![0]);
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
    Array.from(a).reduce((total, v, i) => total + v * b[i]!, 0);
  const against = params.map((_, i) => {
    const [g, h] = [own[`gradient ${i}`]!, general[`gradient ${i}`]!];
    const share = (0.5 * Math.min(dot(g, h), 0)) / dot(h, h);
    for (const [at, value] of got[`gradient ${i}`]!.entries()) expect(value).toBeCloseTo(g[at]! - share * h[at]!, 5);
    return share < 0;
  });
  expect(new Set(against).size).toBe(2);
  expect(await messageOf('bad-option', () => proGrad({ params: new Map() }))).toContain('params of what attach gives');
});

describe('objectives of pairs', () => {
  test('gather losses and metrics of batches of unlike sizes as if they were one', async () => {
    const [a, b] = [pairs(0, [6, 4, 5, 6]), pairs(4, [5, 6])];
    const reports = [];
    for (const batches of [[joined(a, b)], [a, b]]) {
      const step = await makeTrainStep(await target(), {
        executor,
        optimizer: sgd(),
        objective: dpo(),
        gathers: batches.length > 1,
      });
      await step.run(0, 0.1, batches);
      await step.run(1, 0.1, batches);
      reports.push(await step.results());
      step.close();
    }
    const [one, many] = reports as [(typeof reports)[number], (typeof reports)[number]];
    for (const [i, { loss, metrics }] of one.entries()) {
      expect(many[i]!.loss).toBeCloseTo(loss, 6);
      expect(Object.keys(metrics).slice(0, 2)).toEqual(['margin', 'accuracy']);
      for (const [name, value] of Object.entries(metrics)) expect(many[i]!.metrics[name], name).toBeCloseTo(value, 5);
    }
  });

  test('measure held-out pairs too, and tell what they report at every step', async () => {
    const adapted = await target();
    const [data, objective] = [pairs(0, [6, 4, 5, 6]), dpo({ beta: 0.5 })];
    const seen: Progress[] = [];
    const { losses, heldOut } = await train(adapted, {
      executor,
      data: fromArray([data, data]),
      steps: 2,
      schedule: () => 0.05,
      objective,
      heldOut: { data: fromArray([data]), every: 1 },
      onStep: (progress) => void seen.push(progress),
    });
    expect(heldOut[0]!.loss).toBeCloseTo(losses[0]!.loss, 6);
    expect(seen.map(({ metrics }) => metrics)).toEqual(losses.map(({ metrics }) => metrics));
    const options = { executor, objective, base: adapted.base };
    const { loss, metrics, tokens } = await evaluateLoss(adapted.model, fromArray([data]), options);
    expect([loss, tokens]).toEqual([heldOut.at(-1)!.loss, 2]);
    expect(metrics['margin']).toBeGreaterThan(losses[0]!.metrics!['margin']!);
  });

  test('refuse half a pair, a base that is not there, metrics that are not there, tasks without tokens', async () => {
    const adapted = await target();
    const lossOf = (batch: Batch, objective: Objective, of: Parameters<typeof train>[0] = adapted) =>
      train(of, { executor, data: fromArray([batch]), steps: 1, schedule: () => 0.1, objective });
    const batch = pairs(0, [6, 4]);
    expect(await messageOf('bad-shape', () => lossOf(pairs(0, [6, 4, 5]), dpo()))).toContain('got 3 rows');
    expect(await messageOf('bad-option', () => lossOf(batch, dpo(), allWeights(tinyLlama())))).toContain('the base');
    await lossOf(batch, orpo(), allWeights(tinyLlama()));
    const data = fromArray([batch]);
    const measured = evaluateLoss(adapted.model, data, { executor, objective: dpo() });
    expect(await messageOf('bad-option', () => measured)).toContain('{ base: adapted.base }');
    const named = Object.assign(supervised as Objective, { metrics: ['margin'] });
    expect(await messageOf('bad-program', () => lossOf(batch, named))).toContain('names the metrics margin');
  });

  test('refuse options that mean nothing', async () => {
    expect(await messageOf('bad-option', () => dpo({ beta: 0 }))).toContain('beta');
    expect(await messageOf('bad-option', () => dpo({ loss: 'toString' as never }))).toContain('loss');
    expect(await messageOf('bad-option', () => dpo({ loss: 'ipo', labelSmoothing: 0.1 }))).toContain('leave it out');
    expect(await messageOf('bad-option', () => dpo({ loss: 'robust', labelSmoothing: 0.5 }))).toContain('[0, 0.5)');
    expect(await messageOf('bad-option', () => orpo({ gamma: 1 } as never))).toContain('gamma');
  });
});
