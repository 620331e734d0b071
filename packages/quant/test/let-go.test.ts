import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { memoryFiles } from '@peftjs/io';
import { reference, type Variable } from '@peftjs/tensor';
import { type CausalLM, loadModel, saveModel } from '@peftjs/transformer';
import { tinyLlama } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { int8, quantize, quantizeByLlmInt8 } from '../src/index.ts';

const path = 'model.layers.0.mlp.up_proj';

const shape = [1, 4];
const ids = Int32Array.of(1, 2, 3, 4);
const data = [{ rows: 1, columns: { ids, labels: ids }, shapes: { ids: shape, labels: shape } }];

// An executor that has looked at data holds the floats of the whole model, as long as anybody can reach them: four times what a model in int8 takes.
test.each<[string, (model: CausalLM) => CausalLM | Promise<CausalLM>]>([
  ['quantize', (model) => quantize(model, int8())],
  ['quantizeByLlmInt8', (model) => quantizeByLlmInt8(model, { executor: reference(), data })],
])('a model of %s does not keep the floats alive that it was made of', async (_, quantised) => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const files = memoryFiles();
  await saveModel(tinyLlama(), files, { executor: reference() });
  const make = async (): Promise<{ readonly model: CausalLM; readonly floats: WeakRef<object> }> => {
    const base = await loadModel(files);
    const floats = new WeakRef(base.linears.get(path)!.dense().weight.node);
    return { model: await quantised(base), floats };
  };
  const { model, floats } = await make();
  for (let i = 0; i < 5; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(floats.deref()).toBeUndefined();
  expect(model.linears.get(path)!.dense().weight.shape).toHaveLength(2);
});

test('what quantizeByLlmInt8 has read of the layers is not held any longer', async () => {
  const base = tinyLlama();
  const released: Variable[] = [];
  const executor = { ...reference(), release: (variables: Iterable<Variable>) => void released.push(...variables) };
  await quantizeByLlmInt8(base, { executor, data });
  const layers = [...base.linears].filter(([at]) => at !== 'lm_head');
  expect(released).toEqual(expect.arrayContaining(layers.map(([, layer]) => layer.dense().weight)));
});
