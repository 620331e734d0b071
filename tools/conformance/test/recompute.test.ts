import { grad } from '@peftjs/autograd';
import { type Adapted, attach, distillation, type Objective, rDrop } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import {
  buildProgram,
  constant,
  type Executor,
  evaluate,
  normalValues,
  randomSource,
  reference,
  sizeOf,
  type Tensor,
} from '@peftjs/tensor';
import { shake } from '@peftjs/testkit';
import {
  adamw,
  allWeights,
  linear,
  makeTrainStep,
  packTokens,
  type Trainable,
  type TrainOptions,
  train,
} from '@peftjs/trainer';
import {
  buildModel,
  type Inputs,
  maskedLM,
  meanOf,
  type Recompute,
  seq2seqLM,
  type TaskModel,
  type WeightSource,
} from '@peftjs/transformer';
import { tinyBertConfig, tinyGpt2, tinyLlama, tinyT5Config, tokens } from '@peftjs/transformer/testing';
import { planProgram } from '@peftjs/webgpu';
import { afterAll, describe, expect, test } from 'vitest';

const t5 = { ...tinyT5Config, encoderLayers: 2, headDim: 4 };

/** Weights large enough for every part to matter. */
const weights: WeightSource = {
  has: () => true,
  load: (name, shape) => normalValues(sizeOf(shape), 0.3, randomSource(0, name)),
};

const ids = tokens([1, 5, 2, 9, 4], [3, 3, 12, 0, 7]);
const labels = tokens([5, 2, 9, 4, 1], [3, -100, 0, 7, 2]);
const labelled = tokens([0, 5, 2, 9, 4], [0, 3, 0, 0, 7]);
const mask = constant(Float32Array.of(1, 1, 1, 1, 1, 1, 1, 1, 0, 0), [2, 5]);
const models: readonly (readonly [name: string, model: TaskModel, inputs: Inputs])[] = [
  ['llama', tinyLlama(), { ids, labels }],
  ['gpt2', tinyGpt2(), { ids, labels }],
  ['bert', buildModel(tinyBertConfig, weights, maskedLM()), { ids, labels, mask }],
  ['t5', buildModel(t5, weights, seq2seqLM()), { ids, labels, mask, decoderIds: labelled }],
];
const objectives: Readonly<Record<string, Objective | undefined>> = {
  supervised: undefined,
  rDrop: rDrop(),
  distillation: distillation(),
};
const exact = reference();

type Values = Readonly<Record<string, ArrayLike<number>>>;

const seed = constant(Uint32Array.of(7), []);

/** The loss of a step and its gradients; `nodes` is the size of their program. */
const step = async (
  target: Pick<Trainable, 'loss' | 'params'>,
  inputs: Inputs,
  how: { readonly recompute?: Recompute; readonly objective?: Objective },
): Promise<{ readonly values: Values; readonly nodes: number }> => {
  const loss = meanOf(target.loss(inputs, seed, how as never));
  const names = [...target.params.keys()];
  const outputs: Record<string, Tensor> = { loss };
  for (const [i, g] of grad(loss, [...target.params.values()]).entries()) outputs[names[i]!] = g;
  return { values: await evaluate(outputs, { executor: exact }), nodes: buildProgram({ outputs }).nodes.length };
};

const mustBeEqual = (got: Values, wanted: Values): void => {
  for (const [name, values] of Object.entries(wanted))
    for (let i = 0; i < values.length; i++) {
      const scale = Math.max(1, Math.abs(values[i]!));
      if (!(Math.abs(got[name]![i]! - values[i]!) <= 1e-6 * scale))
        expect.fail(`${name}[${i}] is ${got[name]![i]} recomputed, ${values[i]} stored`);
    }
};

describe.each(models)('%s recomputes its blocks to the same loss and gradients', (_, model, inputs) => {
  test.each(Object.entries(objectives))('with %s, dropout drawn alike', async (name, objective) => {
    const adapted = attach(model, [lora({ rank: 2, dropout: 0.3, target: 'all-linear' })]);
    await shake(adapted.params, { executor: exact });
    const how = objective && { objective };
    const stored = await step(adapted, inputs, { ...how });
    const again = await step(adapted, inputs, { ...how, recompute: true });
    expect(again.nodes).toBeGreaterThan(stored.nodes * 1.2);
    mustBeEqual(again.values, stored.values);
    const plain = attach(model, [lora({ rank: 2, target: 'all-linear' })], { state: await stateOf(adapted) });
    const dry = await step(plain, inputs, { ...how });
    expect(dry.values['loss']![0], `${name}: the dropout does something`).not.toBeCloseTo(
      stored.values['loss']![0]!,
      4,
    );
  });

  test('of all weights', async () => {
    const stored = await step(allWeights(model), inputs, {});
    const some = await step(allWeights(model), inputs, { recompute: 1 });
    const again = await step(allWeights(model), inputs, { recompute: true });
    expect(some.nodes).toBeGreaterThan(stored.nodes);
    expect(again.nodes).toBeGreaterThan(some.nodes);
    mustBeEqual(some.values, stored.values);
    mustBeEqual(again.values, stored.values);
  });
});

const stateOf = async ({ state }: Pick<Adapted, 'state'>) =>
  new Map(
    await Promise.all(
      [...state].map(async ([name, v]) => [name, { shape: v.shape, data: await exact.read(v) }] as const),
    ),
  );

/** Peak bytes of a step with AdamW, planned for a GPU that is not there. */
const peakOf = async (target: Trainable, recompute: Recompute, gathers: boolean): Promise<number> => {
  const peaks: number[] = [];
  const refuse = async (): Promise<never> => Promise.reject(new Error('on paper'));
  const onPaper: Executor = {
    ...exact,
    compile: async (program) => {
      const plan = await planProgram(program);
      peaks.push(plan.peakBytes);
      return { plan, run: refuse, kept: refuse, close: () => {} };
    },
  };
  const shape = { shape: [4, 64], dtype: 'i32' } as const;
  const isT5 = target.model.config.modelType === 't5';
  const inputs = { ids: shape, labels: shape, ...(isT5 && { decoderIds: shape }) };
  await makeTrainStep(target, { executor: onPaper, optimizer: adamw(), inputs, recompute, gathers });
  return Math.max(...peaks);
};

describe('a step that recomputes needs less memory', () => {
  const sizes = { hiddenSize: 32, layers: 6, intermediateSize: 96, headDim: 16 };
  const largeT5 = { ...t5, ...sizes, encoderLayers: 6 };
  test.each([
    ['llama', tinyLlama({ ...sizes, maxPositions: 64 })],
    ['bert', buildModel({ ...tinyBertConfig, ...sizes }, weights, maskedLM())],
    ['t5', buildModel(largeT5, weights, seq2seqLM())],
  ])('%s', async (name, model) => {
    const adapted = attach(model as TaskModel, [lora({ rank: 2, dropout: 0.1, target: 'all-linear' })]);
    for (const gathers of name === 'llama' ? [false, true] : [false]) {
      const [stored, again] = [await peakOf(adapted, false, gathers), await peakOf(adapted, true, gathers)];
      expect(again / stored, name).toBeLessThan(0.35);
      // Each block more that is recomputed saves as much.
      const half = await peakOf(adapted, 3, gathers);
      expect(half, name).toBeLessThan(0.5 * (stored + again) * 1.1);
      expect(half, name).toBeGreaterThan(again);
    }
  });
});

describe('train', async () => {
  const executor = await cpu({ threads: 1 });
  afterAll(() => executor.close());
  const data = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
    context: 6,
    endOfText: 12,
  });
  const losses = async (more: Partial<TrainOptions>): Promise<number[]> => {
    const adapted = attach(tinyLlama(), [lora({ rank: 2, dropout: 0.2 })]);
    const schedule = linear({ learningRate: 0.03, steps: 5 });
    return (await train(adapted, { executor, data, steps: 5, batchSize: 2, schedule, ...more })).losses.map(
      (l) => l.loss,
    );
  };

  test.each([{}, { accumulate: 2 }, { objective: rDrop() as never }])('has the same losses, %o', async (more) => {
    const [stored, again] = [await losses(more), await losses({ ...more, recompute: true })];
    for (const [i, loss] of stored.entries()) expect(again[i]).toBeCloseTo(loss, 5);
  });

  test('refuses what is neither true nor false nor a number of blocks', async () => {
    const wanted = {
      code: 'bad-option',
      message: expect.stringContaining('recompute must be true, false or a number of blocks, got "yes"'),
    };
    const recompute = 'yes' as never;
    const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
    await expect(losses({ recompute })).rejects.toMatchObject(wanted);
    await expect(makeTrainStep(adapted, { executor, optimizer: adamw(), recompute })).rejects.toMatchObject(wanted);
    for (const target of [adapted, allWeights(tinyLlama())])
      expect(() => target.loss({ ids, labels }, seed, { recompute })).toThrow(
        /^loss: recompute must be true, false or a number of blocks, got "yes"/,
      );
  });
});
