import { attach, eachParam, type GradientTransform, mergePatches, type ParamHint, type Projection } from '@peftjs/core';
import { galore, lora } from '@peftjs/lora';
import { add, compile, constant, mul, neg, reference, sign, type Variable, variable } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import {
  adafactor,
  adamw,
  adamw8bit,
  chain,
  clip,
  lion,
  muon,
  optimizerStep,
  packTokens,
  prodigy,
  scheduleFree,
  sgd,
  type TrainOptions,
  train,
} from './index.ts';

const rows = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});

const weight = (values: readonly number[] = [1, -1]): Variable =>
  variable('w', [1, values.length], Float32Array.from(values));

/** The weights after one step with a given gradient. */
const stepped = async (
  optimizer: GradientTransform,
  gradient: readonly number[],
  more: {
    readonly hint?: ParamHint;
    readonly transform?: GradientTransform;
    readonly rate?: number;
    readonly project?: (w: Variable) => Projection | undefined;
  } = {},
): Promise<number[]> => {
  const [w, executor] = [weight(gradient.map(() => 1)), reference()];
  const { updates, feeds } = optimizerStep(
    optimizer,
    { values: new Map([[w, constant(Float32Array.from(gradient), w.shape)]]) },
    constant(Float32Array.of(1), []),
    {
      hints: new Map([[w, more.hint ?? {}]]),
      ...(more.transform && { transform: more.transform }),
      project: more.project?.(w) ?? null,
    },
  );
  await (await compile({ updates }, { executor })).run(feeds(0, more.rate ?? 0.5));
  return [...(await executor.read(w))];
};

/** Keeps the first value of every gradient. */
const onlyFirst: GradientTransform = {
  name: 'onlyFirst',
  update: ({ values, scale }) => ({
    values: new Map([...values].map(([p, g]) => [p, mul(g, constant(Float32Array.of(1, 0), [1, 2]))])),
    ...(scale && { scale }),
    state: [],
  }),
};

describe('transforms', () => {
  test('follow one another: what a method projects, then clipping, then the step', async () => {
    expect(await stepped(sgd(), [3, 4])).toEqual([-0.5, -1]);
    expect(await stepped(chain(clip(1), sgd()), [3, 4])).toEqual([expect.closeTo(0.7, 5), expect.closeTo(0.6, 5)]);
    const transform = onlyFirst;
    expect(await stepped(chain(clip(1), sgd()), [3, 4], { transform })).toEqual([expect.closeTo(0.5, 5), 1]);
    expect(await stepped(chain(chain(clip(8), clip(1)), sgd()), [3, 4])).toEqual([
      expect.closeTo(0.7, 5),
      expect.closeTo(0.6, 5),
    ]);
  });

  test('may come after a step: what is added to the weights is theirs', async () => {
    // The first step of AdamW is the rate, against the gradient's sign.
    expect(await stepped(chain(adamw(), onlyFirst), [3, 4])).toEqual([expect.closeTo(0.5, 5), 1]);
  });

  test('are followed by what a method does to the parameters: in order, each with feeds of its own', async () => {
    const times =
      (factor: number) =>
      (w: Variable): Projection =>
      (updated, { feed }) => [
        [
          w,
          mul(
            updated(w),
            feed('factor', [], () => Float32Array.of(factor)),
          ),
        ],
      ];
    const plus =
      (w: Variable): Projection =>
      (updated, { rate }) => [[w, add(updated(w), rate)]];
    expect(await stepped(sgd(), [1, 2], { project: times(3) })).toEqual([1.5, 0]);
    const both = (w: Variable): Projection | undefined =>
      mergePatches([times(3), plus, times(2)].map((of) => ({ project: of(w) }))).project;
    expect(await stepped(sgd(), [1, 2], { project: both })).toEqual([4, 1]);
    const other = (): Projection => plus(weight());
    await expect(stepped(scheduleFree(), [1, 2], { project: plus })).rejects.toThrow('would have to project');
    await expect(stepped(sgd(), [1, 2], { project: other })).rejects.toThrow('projects w, which is not trained');
  });

  test('heed hints at a parameter', async () => {
    expect(await stepped(sgd(), [1, 0], { hint: { rate: 16 }, rate: 0.01 })).toEqual([expect.closeTo(0.84, 6), 1]);
    expect(await stepped(sgd({ weightDecay: 1 }), [0, 0])).toEqual([0.5, 0.5]);
    await expect(stepped(prodigy(), [1, 0], { hint: { rate: 16 } })).rejects.toThrow('16 times');
    expect(await stepped(sgd({ weightDecay: 1 }), [0, 0], { hint: { decay: false } })).toEqual([1, 1]);
  });

  test('one of a chain steps, and only one', async () => {
    expect(() => chain(sgd(), adamw())).toThrow('chain: sgd and adamw are optimisers');
    await expect(stepped(chain(clip(1)), [1, 1])).rejects.toThrow('the optimizer (a chain) never steps');
    await expect(stepped(sgd(), [1, 1], { transform: lion() })).rejects.toMatchObject({ code: 'bad-option' });
  });

  test('say all that is wrong with their options', () => {
    expect(() => adamw({ beta1: 1, eps: Number.NaN, ...{ weigthDecay: 0.1 } })).toThrow(
      'adamw: beta1 must be in [0, 1), got 1; eps must be a number of at least 0, got NaN; ' +
        'there is no option weigthDecay; there are beta1, beta2, eps, weightDecay',
    );
    expect(() => clip(0)).toThrow('clip: norm must be a number above 0, got 0');
    expect(() => sgd({ nesterov: true })).toThrow('sgd: nesterov needs a momentum above 0');
    expect(() => muon({ others: clip(1) })).toThrow('muon: others must be an optimiser');
    expect(() => adafactor({ clipThreshold: 0.5, beta2Decay: 1 })).toThrow(/beta2Decay .*; clipThreshold /);
    expect(() => adamw8bit({ leastSize: -1 })).toThrow('adamw8bit: leastSize must be a whole number');
  });
});

describe('a run', () => {
  const losses = async (
    optimizer: GradientTransform,
    rate = 0.03,
    sizes: Pick<TrainOptions, 'batchSize' | 'accumulate'> = { batchSize: 2 },
  ): Promise<number[]> => {
    const result = await train(attach(tinyLlama(), [lora({ rank: 4, target: 'all-linear' })]), {
      executor: reference(),
      data: rows,
      steps: 10,
      ...sizes,
      schedule: () => rate,
      optimizer,
    });
    return result.losses.map((l) => l.loss);
  };

  test.each([
    ['adamw', chain(clip(1), adamw())],
    ['adamw8bit', chain(clip(1), adamw8bit({ leastSize: 0 }))],
    ['sgd', sgd({ momentum: 0.9, nesterov: true })],
    ['lion', lion()],
    // Weights of 0 are stepped by a thousandth of the rate.
    ['adafactor', adafactor({ leastScale: 0.05 }), 1],
    ['muon', muon({ adjust: 'adamw' })],
    ['prodigy', chain(clip(1), prodigy({ start: 1e-3 })), 1],
    ['scheduleFree', chain(clip(1), scheduleFree())],
    ['galore', chain(clip(1), galore({ rank: 2, every: 4, scale: 1 }))],
  ] as const)('learns with %s, and begins anew with the same optimiser', async (_, optimizer, rate?: number) => {
    const first = await losses(optimizer, rate);
    expect(Math.min(...first.slice(-3))).toBeLessThan(first[0]! - 0.05);
    expect(await losses(optimizer, rate)).toEqual(first);
  });

  test('finds on the host what an optimiser asks for: of the batch that it steps by, of one or gathered', async () => {
    const [one, gathered] = [
      await losses(galore({ rank: 2, every: 4, scale: 1 })),
      await losses(galore({ rank: 2, every: 4, scale: 1 }), 0.03, { batchSize: 1, accumulate: 2 }),
    ];
    for (const [i, loss] of one.entries()) expect(gathered[i]).toBeCloseTo(loss, 3);
  });

  test('of an optimiser with a rate of its own takes that', async () => {
    const target = attach(tinyLlama(), [lora({ rank: 4 })]);
    const optimizer = chain(clip(1), prodigy());
    const { losses: found } = await train(target, { executor: reference(), data: rows, steps: 2, optimizer });
    expect(found[0]!.learningRate).toBe(1);
  });

  test('takes an optimiser of one rule', async () => {
    const signSgd = eachParam('signSgd', (g, { rate }) => ({ change: mul(neg(rate), sign(g)) }));
    const found = await losses(signSgd);
    expect(found.at(-1)).toBeLessThan(found[0]! - 0.05);
  });
});
