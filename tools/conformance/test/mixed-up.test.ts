import { attach, load, merge, save } from '@peftjs/core';
import { exportModel } from '@peftjs/export';
import { memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { nf4, quantize } from '@peftjs/quant';
import { reference } from '@peftjs/tensor';
import { adamw, allWeights, evaluateLoss, makeTrainStep, packTokens, train } from '@peftjs/trainer';
import { generate, generator, saveModel } from '@peftjs/transformer';
import { tinyBert, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';

// What JavaScript lets people hand over: the types refuse all of it.
const any = (value: unknown): never => value as never;
const executor = reference();
const model = tinyLlama();
const adapted = attach(model, [lora({ rank: 2 })]);
const data = packTokens([[1, 2, 3, 4, 5, 6, 7, 8]], { context: 4, endOfText: 0 });
const files = memoryFiles();
await save(adapted, files, { executor });

const noModel = 'that is no model; it has one: give its view, adapted.model, or its base, adapted.base';
const noAdapter = 'that is a model alone; give one with an adapter, attach(model, [lora()])';
const mixedUp: readonly (readonly [what: string, call: () => unknown, message: string])[] = [
  ['generate', () => generate(any(adapted), { executor, prompt: [[1]] }), `generate: ${noModel}`],
  ['generator', () => generator(any(tinyBert()), { executor }), 'generator: this model of bert gives no logits'],
  ['evaluateLoss', () => evaluateLoss(any(adapted), data, { executor }), `evaluateLoss: ${noModel}`],
  ['saveModel', () => saveModel(any(adapted), memoryFiles(), { executor }), `saveModel: ${noModel}`],
  ['exportModel', () => exportModel(any(adapted), memoryFiles(), { executor }), `exportModel: ${noModel}`],
  ['quantize', () => quantize(any(adapted), nf4()), `quantize: ${noModel}`],
  ['allWeights', () => allWeights(any(adapted)), `allWeights: ${noModel}`],
  ['attach of an adapter', () => attach(any(adapted), [lora()]), `attach: ${noModel}`],
  ['attach of nothing', () => attach(any(undefined), [lora()]), 'attach: that is no model; it is of type undefined'],
  ['attach of a promise', () => attach(any(Promise.resolve(model)), [lora()]), 'it is a promise: await it'],
  [
    'attach of a name',
    () => attach(any('org/model'), [lora()]),
    'it is the text "org/model": await loadModel(…) first',
  ],
  ['train', () => train(any(model), { executor, data, steps: 1 }), `train: ${noAdapter}`],
  ['merge', () => merge(any(model), { executor }), `merge: ${noAdapter}`],
  ['merge of a promise', () => merge(any(Promise.resolve(adapted)), { executor }), 'which must be awaited'],
  ['save', () => save(any(model), memoryFiles(), { executor }), `save: ${noAdapter}`],
  ['load over an adapter', () => load(any(adapted), files, [lora]), `load: ${noModel}`],
  [
    'load of a call',
    () => load(model, files, any([lora()])),
    'give lora itself, not what it makes: load(model, dir, [lora])',
  ],
  ['load of nothing', () => load(model, files, any(undefined)), 'give a list, or what a package exports'],
];

test.each(mixedUp)('%s: what does not belong there is told, with what does', async (_, call, message) => {
  await expect((async () => call())()).rejects.toMatchObject({
    code: 'bad-option',
    message: expect.stringContaining(message),
  });
});

test('constant ids that the vocabulary lacks are told with their place: the table would give zeros', () => {
  const told = { code: 'bad-data', message: 'model: ids has 99 in row 1 at 2; the ids of this vocabulary are 0 to 12' };
  expect(() => model.logits(tokens([1, 2, 3], [4, 0, 99]))).toThrow(expect.objectContaining(told));
  expect(() => adapted.model.logits(tokens([-1]))).toThrow('ids has -1 in row 0 at 0');
});

test("a loop of one's own is told of ids that the vocabulary lacks before the step", async () => {
  const step = await makeTrainStep(adapted, { executor, optimizer: adamw() });
  const columns = { ids: Int32Array.of(1, 2, 3, 99), labels: Int32Array.of(2, 3, 4, 5) };
  const run = step.run(0, 1e-3, [{ rows: 1, columns, shapes: { ids: [1, 4], labels: [1, 4] } }]);
  await expect(run).rejects.toMatchObject({ code: 'bad-data', message: expect.stringContaining('99') });
  step.close();
});
