import { join } from 'node:path';
import { grad } from '@peftjs/autograd';
import { attach, load, merge } from '@peftjs/core';
import { memoryFiles, openSafetensors } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { gptq, mxfp4 } from '@peftjs/quant';
import { constant, evaluate, reference } from '@peftjs/tensor';
import { loadModel, meanOf, saveModel } from '@peftjs/transformer';
import { webgpu } from '@peftjs/webgpu';
import { expect, test } from 'vitest';

const folder = join(import.meta.dirname, '../data/mxfp4');
const dir = join(folder, 'model');
const golden = await openSafetensors(join(folder, 'golden.safetensors'));
const readers = [mxfp4];

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0);

const batch = async () =>
  constant(
    Int32Array.from(await golden.readFloat32('ids')),
    golden.tensors.get('ids')!.shape as [number, number],
    'i32',
  );

/** Experts [experts, in, out] as they lie here; zeros without a sign. */
const turned = (values: Float32Array, [count, inDim, outDim]: readonly number[]): Float32Array => {
  const out = new Float32Array(values.length);
  for (let e = 0; e < count!; e++)
    for (let i = 0; i < inDim!; i++)
      for (let o = 0; o < outDim!; o++)
        out[(e * outDim! + o) * inDim! + i] = values[(e * inDim! + i) * outDim! + o]! + 0;
  return out;
};

const executors = [
  ['reference', 'f32', async () => reference()],
  ['cpu', 'f32', () => cpu({ threads: 1 })],
  ['cpu', 'f16', () => cpu({ threads: 1 })],
  ['webgpu', 'f32', () => webgpu({ adapter: 'software' })],
] as const;

test.each(executors)(
  "gpt-oss in MXFP4 gives transformers' logits on %s, its other matrices kept in %s",
  async (_, dtype, make) => {
    const model = await loadModel(dir, { readers, dtype });
    const executor = await make();
    const { logits } = await evaluate({ logits: model.logits(await batch()) }, { executor });
    // Its values are f16's too, but for a few of the rest.
    expect(apart(logits!, await golden.readFloat32('logits'))).toBeLessThan(dtype === 'f32' ? 1e-4 : 1e-2);
    await executor.close();
  },
);

test.each(executors.filter(([, dtype]) => dtype === 'f32'))(
  "LoRA of PEFT on its experts gives PEFT's logits, and gradients of every parameter, on %s",
  async (_, __, make) => {
    const adapted = await load(await loadModel(dir, { readers }), join(folder, 'adapter'), [lora]);
    const executor = await make();
    const ids = await batch();
    const labels = constant(
      Int32Array.from(await golden.readFloat32('labels')),
      golden.tensors.get('labels')!.shape as [number, number],
      'i32',
    );
    const loss = meanOf(adapted.model.loss({ ids, labels }));
    const params = [...adapted.params.values()];
    const gradients = Object.fromEntries(grad(loss, params).map((g, i) => [[...adapted.params.keys()][i]!, g]));
    const { logits, ...found } = await evaluate({ logits: adapted.model.logits(ids), ...gradients }, { executor });
    expect(apart(logits!, await golden.readFloat32('adapted logits'))).toBeLessThan(1e-4);
    expect(Object.keys(found)).toHaveLength(params.length);
    for (const [name, values] of Object.entries(found)) {
      const wanted = await golden.readFloat32(`gradient base_model.model.${name}`);
      expect(apart(values!, wanted), name).toBeLessThan(1e-4 * Math.max(...wanted.map(Math.abs)));
    }
    await executor.close();
  },
);

test("values of every code and exponent are those of transformers' unpacking, to the bit", async () => {
  const { shape } = golden.tensors.get('odd')!;
  const [count, inDim, outDim] = shape as readonly [number, number, number];
  const found = mxfp4.experts!(golden, 'odd', [count, outDim, inDim])!;
  expect(found.tensors).toEqual(['odd_blocks', 'odd_scales']);
  const down = (await loadModel(dir, { readers })).experts.get('model.layers.1.mlp.experts.down_proj')!;
  for (const [name, experts] of [
    ['odd', found.experts('odd', null)],
    ['down', down],
  ] as const) {
    const { values } = await evaluate({ values: experts.dense() }, { executor: reference() });
    const wanted = turned(await golden.readFloat32(name), golden.tensors.get(name)!.shape);
    expect(
      Float32Array.from(values!, (v) => v + 0),
      name,
    ).toEqual(wanted);
  }
});

test('LoRA on its experts merges, and what is saved is read without a reader', async () => {
  const [executor, files] = [reference(), memoryFiles()];
  const base = await loadModel(dir, { readers });
  const adapted = attach(base, [lora({ rank: 2, target: ['q_proj'], targetParameters: ['mlp.experts.down_proj'] })]);
  for (const [i, param] of [...adapted.params.values()].entries())
    await executor.write(
      param,
      Float32Array.from({ length: param.shape.reduce((a, b) => a * b, 1) }, (_, j) => Math.sin(i + j) / 5),
    );
  const merged = await merge(adapted, { executor });
  await saveModel(merged.model, files, { executor });
  const again = await loadModel(files);
  const ids = await batch();
  const { a, b, c } = await evaluate(
    { a: adapted.model.logits(ids), b: again.logits(ids), c: base.logits(ids) },
    { executor },
  );
  expect(apart(a!, b!)).toBeLessThan(1e-4);
  expect(apart(a!, c!)).toBeGreaterThan(1e-2);
});

test('without its reader the folder is refused, and the reader is named', async () => {
  const wanted = /"mxfp4" is not supported by itself; .*\{ readers: \[mxfp4\] \} of @peftjs\/quant/;
  await expect(loadModel(dir)).rejects.toThrow(wanted);
  await expect(loadModel(dir, { readers: [gptq] })).rejects.toThrow(wanted);
});
