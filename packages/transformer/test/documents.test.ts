import { grad } from '@peftjs/autograd';
import {
  add,
  broadcastTo,
  concat,
  constant,
  type Executor,
  evaluate,
  normalValues,
  randomSource,
  reshape,
  type Shape,
  sizeOf,
  type Tensor,
} from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import { type Around, buildModel, type CausalLM, type DecoderConfig, randomWeights } from '../src/index.ts';
import { executors, shared } from './executors.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyConfig, tinyGpt2Config, tinyWeights } from './tiny.ts';

const texts = [
  [3, 1, 4, 1, 5],
  [9, 2],
  [6, 5, 3],
];
const row = texts.flat();
const numbers = texts.flatMap((text, i) => text.map(() => i + 1));
const drawn = (name: string, shape: Shape): Tensor =>
  constant(normalValues(sizeOf(shape), 1, randomSource(0, name)), shape);
const at = <T>(path: string, around: T): ReadonlyMap<string, readonly T[]> => new Map([[path, [around]]]);

/** Two keys and values in front of each text, as a prefix has them. */
const withPrefix = (model: CausalLM): CausalLM => {
  const front = (x: Tensor, name: string): Tensor => {
    const [batch, heads, , width] = x.shape as readonly [number, number, number, number];
    const rows = reshape(drawn(name, [heads, 2, width]), [1, heads, 2, width]);
    return concat(broadcastTo(rows, [batch, heads, 2, width]), x, { axis: 2 });
  };
  const prefix: Around<'kv'> = (kv, next) => {
    const { k, v } = next(kv);
    return { k: front(k, 'k'), v: front(v, 'v') };
  };
  return model.with({ around: { kv: at(model.paths('kv')[0]!, prefix) }, positionShift: 2 });
};

const llama = (): CausalLM => buildModel(tinyConfig(), tinyWeights());
const windowed: DecoderConfig = { ...tinyConfig(), modelType: 'mistral', fields: { slidingWindow: 3 } };
const sinking: DecoderConfig = {
  ...tinyConfig(),
  modelType: 'gpt_oss',
  fields: { slidingWindow: 3, numLocalExperts: 3, numExpertsPerTok: 2 },
};
const models: readonly (readonly [name: string, make: () => CausalLM])[] = [
  ['rotary positions, shared keys', llama],
  ['learned positions', () => buildModel(tinyGpt2Config(), tinyWeights())],
  ['a window', () => buildModel(windowed, tinyWeights())],
  ['sinks', () => buildModel(sinking, randomWeights(sinking, 1))],
  ['a prefix', () => withPrefix(llama())],
];

for (const [executorName, open] of executors) {
  const executor = shared(open);
  const logitsOf = async (model: CausalLM, inputs: Readonly<Record<string, Tensor>>): Promise<number[]> => {
    const on: Executor = await executor();
    return [...(await evaluate({ t: model.outputs(inputs) }, { executor: on }))['t']!];
  };
  describe(`documents of one row on ${executorName}`, () => {
    test.each(models)('give what each gives alone: %s', async (_, make) => {
      const model = make();
      const packed = await logitsOf(model, { ids: tokens(row, row), documents: tokens(numbers, numbers) });
      const alone = (await Promise.all(texts.map((text) => logitsOf(model, { ids: tokens(text) })))).flat();
      expect(distance(packed, [...alone, ...alone])).toBeLessThan(1e-5);
      // Without it later texts see earlier ones.
      expect(distance(await logitsOf(model, { ids: tokens(row) }), alone)).toBeGreaterThan(1e-3);
    });
  });
}

test('losses and gradients are the sums of those of the texts, whatever fills a row up', async () => {
  const model = llama();
  const table = drawn('table', [13, model.main.hiddenSize]);
  const path = model.main.tokenTable!;
  const embedding = model.embeddings.get(path)!;
  const view = model.with({ embeddings: new Map([[path, { ...embedding, weight: add(embedding.weight, table) }]]) });
  const measured = async (inputs: Readonly<Record<string, Tensor>>): Promise<readonly number[][]> => {
    const { sum } = view.loss(inputs);
    return Promise.all([valuesOf(sum), valuesOf(grad(sum, [table])[0]!)]);
  };
  const labels = (text: readonly number[]): number[] => text.map((id) => (id + 1) % 13);
  const alone = await Promise.all(texts.map((text) => measured({ ids: tokens(text), labels: tokens(labels(text)) })));
  const got = await measured({
    ids: tokens([...row, 0, 0]),
    labels: tokens([...labels(row), -100, -100]),
    documents: tokens([...numbers, 0, 0]),
    mask: constant(Float32Array.from([...row.map(() => 1), 0, 0]), [1, row.length + 2]),
  });
  for (const [i, values] of got.entries()) {
    const wanted = values.map((_, k) => alone.reduce((sum, one) => sum + one[i]![k]!, 0));
    expect(distance(values, wanted)).toBeLessThan(1e-4);
  }
});

test('where documents can not be kept apart they are refused', async () => {
  const model = llama();
  const soft: Around<'embed'> = (ids, next) => {
    const x = next(ids);
    return concat(drawn('soft', [1, 2, x.shape[2]!]), x, { axis: 1 });
  };
  const inFront = model.with({ around: { embed: at(model.paths('embed')[0]!, soft) } });
  const inputs = { ids: tokens(row), documents: tokens(numbers) };
  expect(await messageOf('bad-option', () => inFront.outputs(inputs))).toContain('a method puts rows in front');
  expect(await messageOf('bad-shape', () => model.outputs({ ...inputs, documents: tokens([1, 2]) }))).toContain(
    'documents: got 1x2 i32; they must be i32 [1, 10]',
  );
  const positions = tokens(row.map((_, i) => i));
  expect(await messageOf('bad-option', () => model.outputs(inputs, { positions }))).toContain(
    'give no cache and no positions',
  );
});
