import { attach } from '@peftjs/core';
import { exportModel } from '@peftjs/export';
import { lora } from '@peftjs/lora';
import { cpu, exportOnnx } from '@peftjs/onnx';
import { constant, isPeftError, reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { generator } from '@peftjs/transformer';
import { webgpu } from '@peftjs/webgpu';
import { expect, test } from 'vitest';

const model = tinyLlama();
const executor = reference();
const outputs = { one: constant(Float32Array.of(1), []) };

/** Calls as JavaScript lets them be made, or a slip of the keyboard does. */
const calls: readonly (readonly [string, () => unknown, RegExp])[] = [
  ['a method by itself', () => attach(model, lora() as never), /^attach: methods must be a list/],
  ['a factory that was not called', () => attach(model, [lora as never]), /lora is what makes one: lora\(\)/],
  ['a seed that is no whole number', () => attach(model, [lora()], { seed: 1.5 }), /seed must be a whole number/],
  [
    'attach, a name that there is not',
    () => attach(model, [lora()], { sed: 1 } as never),
    /no option sed; there are seed, state/,
  ],
  [
    'cpu, a name that there is not',
    () => cpu({ thread: 2 } as never),
    /^cpu: there is no option thread; there are threads/,
  ],
  ['cpu, threads', () => cpu({ threads: 0 }), /^cpu: threads must be a whole number of at least 1, got 0/],
  [
    'webgpu, a name that there is not',
    () => webgpu({ adaptor: 'any' } as never),
    /^webgpu: there is no option adaptor/,
  ],
  ['webgpu, a word', () => webgpu({ adapter: 'fast' as never }), /adapter must be one of hardware, software, any/],
  ['exportOnnx without an executor', () => exportOnnx({ outputs }, { path: 'x.onnx' } as never), /executor is missing/],
  ['exportOnnx without a path', () => exportOnnx({ outputs }, { executor } as never), /^exportOnnx: path is missing/],
  [
    'exportModel, an executor in its own place',
    () => exportModel(model, 'x', executor as never),
    /^exportModel: the executor is one of the options/,
  ],
  [
    'a stream, a name that there is not',
    () => generator(model, { executor }).generate([[1]], { maxToken: 3 } as never),
    /^generate: there is no option maxToken; there are maxTokens/,
  ],
];

test.each(calls)('%s is bad-option, in a sentence that says what to do', async (_, call, message) => {
  const error = await (async () => call())().then(
    () => null,
    (cause: unknown) => cause,
  );
  expect(isPeftError(error) && error.code).toBe('bad-option');
  expect((error as Error).message).toMatch(message);
});
