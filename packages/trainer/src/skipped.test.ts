import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { add, type Executor, mul, reference, sum, type Variable, variable } from '@peftjs/tensor';
import { openExecutors, tinyLlama } from '@peftjs/testkit';
import { addTerm } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import {
  adafactor,
  adamw,
  adamw8bit,
  chain,
  clip,
  linear,
  lion,
  makeBatch,
  makeTrainStep,
  muon,
  type Progress,
  packTokens,
  sgd,
  type Trainable,
  type TrainOptions,
  train,
} from './index.ts';

const rows = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});

/** An adapter whose loss and gradients are what `poison` makes them, with a projection and a statistic of every step. */
const poisoned = (): { target: Trainable; poison: Variable; seen: Variable } => {
  const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
  const poison = variable('poison', [], Float32Array.of(0));
  const [first] = [...adapted.params.values()];
  const seen = variable('seen', first!.shape, () => new Float32Array(first!.shape.reduce((a, b) => a * b, 1)));
  const target: Trainable = {
    ...adapted,
    state: new Map([...adapted.state, ['seen', seen]]),
    loss: (inputs, seed, options) => addTerm(adapted.loss(inputs, seed, options), mul(poison, sum(first!))),
    project: (updated) => [[first!, mul(updated(first!), 0.5)]],
    statistics: ({ gradient }) => [[seen, add(seen, gradient(first!))]],
  };
  return { target, poison, seen };
};

const optimizers = {
  adamw: adamw({ weightDecay: 0.1 }),
  'adamw, clipped': chain(clip(1), adamw()),
  adamw8bit: chain(clip(1), adamw8bit({ weightDecay: 0.1, leastSize: 0 })),
  sgd: sgd({ momentum: 0.9 }),
  lion: chain(clip(1), lion()),
  adafactor: adafactor({ weightDecay: 0.1 }),
  muon: muon(),
};

describe.each<[string, () => Promise<Executor>]>([['reference', async () => reference()], ...openExecutors()])(
  'on %s a step that is not finite',
  (_, open) => {
    test.each(Object.entries(optimizers))(
      'leaves all as it is under %s, and the next one moves it',
      async (_, optimizer) => {
        const executor = await open();
        const { target, poison, seen } = poisoned();
        const step = await makeTrainStep(target, {
          executor,
          optimizer,
          gathers: true,
        });
        const batches = [0, 1].map((i) => makeBatch(rows.rows.slice(i, i + 1), 1, 6));
        const all = [...target.params.values(), ...[...step.state.values()].flat(), seen];
        const take = async (at: number, value: number) => {
          await executor.write(poison, Float32Array.of(value));
          await step.run(at, 0.01, batches);
          const state: number[][] = [];
          for (const v of all) state.push([...(await executor.read(v))]);
          const [result] = await step.results();
          return { state, ...result! };
        };
        const first = await take(0, 0);
        expect(first.finite).toBe(true);
        for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 3e38]) {
          const { finite, state } = await take(1, value);
          expect(finite).toBe(false);
          expect(state).toEqual(first.state);
        }
        const next = await take(2, 0);
        expect(next.finite).toBe(true);
        expect(Number.isFinite(next.loss + next.gradNorm)).toBe(true);
        next.state.forEach((values, i) => void expect(values, all[i]!.node.name).not.toEqual(first.state[i]));
        step.close();
      },
    );
  },
);

describe('train', () => {
  /** Steps are poisoned from the outside, as a bad batch would. */
  const run = (bad: readonly number[], more: Partial<TrainOptions> = {}) => {
    const { target, poison } = poisoned();
    const executor = reference();
    const seen: Progress[] = [];
    const schedule = linear({ learningRate: 0.01, steps: 8 });
    const decide = async (step: number): Promise<void> =>
      executor.write(poison, Float32Array.of(bad.includes(step + 1) ? Number.NaN : 0));
    const decision = { due: () => true, run: decide };
    const onStep = (p: Progress): void => void seen.push(p);
    const done = train(
      { ...target, decision },
      { executor, data: rows, steps: 8, batchSize: 1, schedule, onStep, readEvery: 3, ...more },
    );
    return { done, seen };
  };

  test('skips what is not finite, and tells', async () => {
    const { done, seen } = run([3, 4, 7]);
    const { losses, skipped } = await done;
    expect(skipped).toEqual([3, 4, 7]);
    expect(losses.map((l) => l.step)).toEqual([1, 2, 5, 6, 8]);
    expect(losses.every((l) => Number.isFinite(l.loss))).toBe(true);
    expect(seen.map((p) => p.step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(seen.at(-1)!.skipped).toBe(3);
    expect(seen[2]!.loss).toBeNaN();
  });

  test('ends when too many in a row are skipped, naming them', async () => {
    await expect(run([3, 4, 5], { maxSkipped: 2 }).done).rejects.toMatchObject({
      code: 'diverged',
      message: expect.stringMatching(
        /^train: the loss is NaN .* at step 5 \(.*\), and since step 3 no step was finite; lower the learning rate/,
      ),
    });
    await expect(run([3, 4, 6, 7], { maxSkipped: 2 }).done).resolves.toMatchObject({ skipped: [3, 4, 6, 7] });
    await expect(run([3], { maxSkipped: 0 }).done).rejects.toThrow('at step 3');
    await expect(run([], { maxSkipped: -1 }).done).rejects.toThrow('maxSkipped must be a whole number of at least 0');
  });

  test('a run of which no step was finite is no result', async () => {
    await expect(run([2, 3], { steps: 3, maxSkipped: 5 }).done).resolves.toMatchObject({ skipped: [2, 3] });
    const schedule = (): number => 0.01;
    const { target } = poisoned();
    const [first] = [...target.params.values()];
    const loss: Trainable['loss'] = (...given) => addTerm(target.loss(...given), mul(sum(first!), Number.NaN));
    const nothing = { ...target, loss };
    await expect(
      train(nothing, { executor: reference(), data: rows, steps: 3, batchSize: 1, schedule }),
    ).rejects.toMatchObject({ code: 'diverged', message: expect.stringContaining('since step 1') });
  });
});
