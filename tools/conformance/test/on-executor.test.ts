import { attach, hotSwap, merge, mixBatch, prepare, save, snapshot } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { nf4, quantizeOn } from '@peftjs/quant';
import { compile, constant, type Executor, evaluate, reference } from '@peftjs/tensor';
import { evaluateLoss, makeEvaluator, makeTrainStep, packTokens, reduceStep, train } from '@peftjs/trainer';
import { generate, generator, saveModel } from '@peftjs/transformer';
import { tinyLlama } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';

const base = tinyLlama();
const adapted = attach(base, [lora({ rank: 2 })]);
const mixed = mixBatch([adapted], 1);
const files = memoryFiles();
const outputs = { y: constant(Float32Array.of(1), [1]) };
const data = packTokens([[1, 2, 3, 4, 5, 6, 7, 8]], { context: 4, endOfText: 0 });

const functions = {
  compile,
  evaluate,
  save,
  merge,
  snapshot,
  hotSwap,
  prepare,
  assign: mixed.assign,
  quantizeOn,
  train,
  makeTrainStep,
  evaluateLoss,
  makeEvaluator,
  reduceStep,
  generate,
  generator,
  saveModel,
};
type Name = keyof typeof functions;

/** Their arguments before the options. */
const things: Readonly<Record<Name, readonly unknown[]>> = {
  compile: [{ outputs }],
  evaluate: [outputs],
  save: [adapted, files],
  merge: [adapted],
  snapshot: [adapted],
  hotSwap: [adapted, adapted],
  prepare: [base, []],
  assign: [[0]],
  quantizeOn: [base, nf4()],
  train: [adapted],
  makeTrainStep: [adapted],
  evaluateLoss: [base, data],
  makeEvaluator: [base, data],
  reduceStep: [{ gathered: [] }],
  generate: [base],
  generator: [base],
  saveModel: [base, files],
};

type Last<F> = F extends (...args: infer A) => unknown
  ? A extends readonly [...unknown[], infer L]
    ? L
    : never
  : never;

/** For the compiler: the last argument of none is an executor, and none can be left out. */
const refused: {
  readonly [K in Name]: [Last<(typeof functions)[K]>] extends [never]
    ? false
    : Executor extends Last<(typeof functions)[K]>
      ? false
      : true;
} = {
  compile: true,
  evaluate: true,
  save: true,
  merge: true,
  snapshot: true,
  hotSwap: true,
  prepare: true,
  assign: true,
  quantizeOn: true,
  train: true,
  makeTrainStep: true,
  evaluateLoss: true,
  makeEvaluator: true,
  reduceStep: true,
  generate: true,
  generator: true,
  saveModel: true,
};

const failing = async (name: Name, ...options: readonly unknown[]): Promise<unknown> => {
  const call = functions[name] as (...args: readonly unknown[]) => unknown;
  try {
    await call(...things[name], ...options);
  } catch (error) {
    return error;
  }
  return undefined;
};

test.each(Object.keys(refused) as Name[])('%s says that its executor is missing', async (name) => {
  const wanted = {
    code: 'bad-option',
    message: expect.stringMatching(`^${name}: .*executor is missing: it must be an executor`),
  };
  expect(await failing(name)).toMatchObject(wanted);
  expect(await failing(name, {})).toMatchObject(wanted);
  expect(await failing(name, { executor: 'cpu' })).toMatchObject({
    code: 'bad-option',
    message: expect.stringMatching(`^${name}: executor must be an executor, such as .* got "cpu"`),
  });
});

test.each(Object.keys(refused) as Name[])('%s says that its executor is an option', async (name) => {
  expect(await failing(name, reference())).toMatchObject({
    code: 'bad-option',
    message: `${name}: the executor is one of the options: { executor }`,
  });
});
