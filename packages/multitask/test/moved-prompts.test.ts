import { attach, type Method, snapshot } from '@peftjs/core';
import { ipt, type PromptSnapshot, promptTuning } from '@peftjs/prompts';
import { constant, evaluate, normalValues, randomSource, reference, type Tensor } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import type { CausalLM, TaskModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { iptSpace, iptSpaceFor, projectedPrompt, tpt, tptFor } from '../src/index.ts';

const executor = reference();
const base = tinyLlama();
const valuesOf = async (y: Tensor): Promise<Float32Array> => (await evaluate({ y }, { executor }))['y'] as Float32Array;
const logits = (model: CausalLM): Promise<Float32Array> => valuesOf(model.logits(tokens([3, 1, 4])));

const prompt = (name: string, shape: readonly [number, number] = [3, 8]): PromptSnapshot => ({
  state: new Map([['prompt_embeddings', { shape, data: normalValues(shape[0] * shape[1], 1, randomSource(7, name)) }]]),
});

/** Its tensors moved off their first values. */
const shaken = async (method: Method) => {
  const adapted = attach(base, [method]);
  await shake(adapted.params, { executor });
  return adapted;
};

test('a code that decodes to a source gives what the space gives of that source', async () => {
  const sources = [prompt('one'), prompt('two')];
  const sizes = { dimension: 2, inner: 4 };
  const space = await shaken(iptSpaceFor(1)({ sources, ...sizes }));
  const found = await snapshot(space, { executor });
  const { model, params } = attach(base, [ipt({ space: found, length: 3, ...sizes })]);
  const of = (name: string): Float32Array => Float32Array.from(found.state.get(name)!.data);
  const [weight, bias] = [of('prompt_W1.weight'), of('prompt_W1.bias')];
  const own = Float32Array.from(sources[1]!.state.get('prompt_embeddings')!.data);
  const code = bias.map((b, i) => own.reduce((n, x, j) => n + x * weight[i * own.length + j]!, b));
  await executor.write(params.get('prompt_task.weight')!, code);
  expect(distance(await logits(model), await logits(space.model))).toBeLessThan(1e-5);
  await executor.write(
    params.get('prompt_task.weight')!,
    code.map((x) => x + 1),
  );
  expect(distance(await logits(model), await logits(space.model))).toBeGreaterThan(1e-3);
  expect(() => attach(base, [ipt({ space: found, length: 4, ...sizes })])).toThrow(
    'space: prompt_W3.weight of [32, 4] is needed, got [24, 4]',
  );
});

test('the space weighs how far its prompts are from their own', async () => {
  const lossAt = async (reconstruction: number): Promise<number> => {
    const adapted = attach(base, [iptSpace({ sources: [prompt('one')], dimension: 2, inner: 4, reconstruction })]);
    const inputs = { ids: tokens([3, 1, 4]), labels: tokens([1, 4, 2]) };
    const { sum, weight } = adapted.loss(inputs, constant(Int32Array.of(1, 0), [2]));
    const [total, count] = [await valuesOf(sum), await valuesOf(weight)];
    return total[0]! / count[0]!;
  };
  const [one, two, three] = [await lossAt(1), await lossAt(2), await lossAt(3)];
  expect(two - one).toBeGreaterThan(0.1);
  expect(three - two).toBeCloseTo(two - one, 4);
});

test('a projected prompt is what the projector puts in front', async () => {
  const sources = [prompt('one', [3, 5]), prompt('two', [3, 5])];
  const adapted = await shaken(tptFor(1)({ sources, inner: 4 }));
  const moved = await projectedPrompt(await snapshot(adapted, { executor }), sources[1]!, { executor });
  const { model } = attach(base, [promptTuning({ length: 3, init: { prompt: moved } })]);
  expect(distance(await logits(model), await logits(adapted.model))).toBeLessThan(1e-5);
  await expect(projectedPrompt({ state: new Map() }, sources[1]!, { executor })).rejects.toThrow('a snapshot of tpt');
  await expect(projectedPrompt(await snapshot(adapted, { executor }), prompt('x'), { executor })).rejects.toThrow(
    'a prompt of [3, 5] is needed, got [3, 8]',
  );
});

test('each example says its task, and sources have one shape', async () => {
  const sources = [prompt('one'), prompt('two')];
  for (const method of [iptSpace({ sources, inner: 4 }), tpt({ sources, inner: 4 })]) {
    const { model } = await shaken(method);
    const inputs = { ids: tokens([3, 1, 4], [3, 1, 4]), task: constant(Int32Array.of(0, 1), [2]) };
    const all = await valuesOf((model as TaskModel).outputs(inputs) as Tensor);
    const [first, second] = [all.subarray(0, all.length / 2), all.subarray(all.length / 2)];
    expect(distance(first, second)).toBeGreaterThan(1e-3);
    expect(() => model.logits(tokens([3, 1, 4]))).toThrow('the inputs have no column task, and there are 2 tasks');
  }
  expect(() => attach(base, [iptSpace({ sources: [prompt('one'), prompt('two', [4, 8])] })])).toThrow(
    'iptSpace: sources 1: a prompt of [3, 8] is needed, got [4, 8]',
  );
  expect(() => attach(base, [iptSpace({ sources: [prompt('one', [3, 5])] })])).toThrow(
    "sources have rows of 5 values, and the model's tokens have 8",
  );
  expect(() => tptFor(2)({ sources })).toThrow('there are tasks 0 to 1, tptFor got 2');
});
