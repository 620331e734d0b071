import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { attach, merge } from '@peftjs/core';
import { memoryFiles, openSafetensors } from '@peftjs/io';
import { lora, qalora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { awq, awqFiles, bitsandbytes, bitsandbytesInt8, fp4, gptq, gptqFiles, int8, storedBytes } from '@peftjs/quant';
import { constant, evaluate, packedFormats, reference, sizeOf } from '@peftjs/tensor';
import { type CheckpointWriter, loadModel, saveModel } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';

import { familyModel } from '../src/families.ts';

const data = join(import.meta.dirname, '../data');
const folder = join(data, 'quantized');
const readers = [bitsandbytes, gptq, awq];

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0);

describe.each(readdirSync(folder))('%s', (name) => {
  const dir = join(folder, name);

  test.each([
    ['reference', async () => reference()],
    ['cpu', () => cpu({ threads: 1 })],
  ] as const)("gives transformers' logits of the dequantised weights on %s", async (_, make) => {
    const golden = await openSafetensors(join(dir, 'golden.safetensors'));
    const [rows, columns] = golden.tensors.get('ids')!.shape as [number, number];
    const ids = constant(Int32Array.from(await golden.readFloat32('ids')), [rows, columns], 'i32');
    const model = await loadModel(dir, { readers });
    const executor = await make();
    const { logits } = await evaluate({ logits: model.logits(ids) }, { executor });
    expect(apart(logits!, await golden.readFloat32('logits'))).toBeLessThan(1e-4);
    await executor.close();
  });

  test('stays as it is stored, takes adapters, and encodes what they merge to', async () => {
    const model = await loadModel(dir, { readers });
    const values = [...model.linears]
      .filter(([path]) => path !== 'lm_head')
      .reduce((n, [, l]) => n + l.inDim * l.outDim, 0);
    expect((8 * storedBytes(model)) / values).toBeLessThan(10);
    const executor = reference();
    const adapted = attach(model, [lora({ rank: 2, target: ['q_proj', 'down_proj'] })]);
    const merged = await merge(adapted, { executor });
    for (const path of merged.errors.keys()) {
      const [before, after] = [model, merged.model].map((m) => m.linears.get(path)!.dense().weight);
      const got = await evaluate({ before: before!, after: after! }, { executor });
      // Nothing was learnt, so it is its own values quantised anew.
      const size = Math.hypot(...got['before']!);
      expect(Math.hypot(...got['before']!.map((v, i) => v - got['after']![i]!)) / size).toBeLessThan(
        name.startsWith('bnb') ? 0.15 : 1e-6,
      );
    }
    expect(merged.errors.size).toBe(2);
  });
});

test('a checkpoint in int8 can be multiplied as whole numbers, and is near', async () => {
  const dir = join(folder, 'bnb-int8');
  const golden = await openSafetensors(join(dir, 'golden.safetensors'));
  const ids = constant(
    Int32Array.from(await golden.readFloat32('ids')),
    golden.tensors.get('ids')!.shape as [number, number],
    'i32',
  );
  const executor = reference();
  const [plain, whole] = await Promise.all(
    [bitsandbytes, bitsandbytesInt8].map(async (reader) => {
      const model = await loadModel(dir, { readers: [reader] });
      const layer = model.linears.get('model.layers.0.self_attn.q_proj')!.dense().weight;
      return evaluate({ logits: model.logits(ids), layer }, { executor });
    }),
  );
  expect(apart(plain!['layer']!, whole!['layer']!)).toBe(0);
  const wanted = await golden.readFloat32('logits');
  const off = Math.hypot(...wanted.map((v, i) => v - whole!['logits']![i]!)) / Math.hypot(...wanted);
  expect(off).toBeGreaterThan(1e-4);
  expect(off).toBeLessThan(0.05);
});

test.each(['gptq-2', 'gptq-3', 'gptq-4', 'gptq-v2', 'awq'])(
  'QA-LoRA by its groups merges into %s, which stays as it is but for zero points',
  async (name) => {
    const executor = reference();
    const model = await loadModel(join(folder, name), { readers });
    const adapted = attach(model, [qalora({ rank: 2, target: ['q_proj', 'up_proj'], groupSize: 32 })]);
    for (const param of adapted.params.values())
      await executor.write(
        param,
        Float32Array.from({ length: sizeOf(param.shape) }, (_, i) => Math.sin(i) / 20),
      );
    const merged = await merge(adapted, { executor });
    for (const error of merged.errors.values()) expect(error).toBeLessThan(1e-4);
    const ids = constant(Int32Array.of(1, 5, 2, 9), [1, 4], 'i32');
    const { a, b } = await evaluate({ a: adapted.model.logits(ids), b: merged.model.logits(ids) }, { executor });
    expect(apart(a!, b!)).toBeLessThan(1e-3);
  },
);

test.each(
  ['gptq-2', 'gptq-3', 'gptq-4', 'gptq-8', 'gptq-act-order', 'gptq-sym', 'gptq-v2', 'awq'].map(
    (name) =>
      [
        name,
        name === 'awq' ? awqFiles() : gptqFiles(name === 'gptq-v2' ? { checkpointFormat: 'gptq_v2' } : {}),
      ] as const,
  ),
)('%s is written as it was read, to the bit', async (name, writer) => {
  const [executor, files] = [reference(), memoryFiles()];
  const model = await loadModel(join(folder, name), { readers });
  await saveModel(model, files, { executor, writer });
  const [written, read] = [
    await openSafetensors({ files, path: 'model.safetensors' }),
    await openSafetensors(join(folder, name, 'model.safetensors')),
  ];
  const packed = [...read.tensors.keys()].filter((tensor) => /\.(qweight|qzeros|scales|g_idx)$/.test(tensor));
  expect(packed.length).toBeGreaterThan(6);
  for (const tensor of packed) {
    expect(written.tensors.get(tensor)!.shape).toEqual(read.tensors.get(tensor)!.shape);
    expect((await written.read(tensor)).data).toEqual((await read.read(tensor)).data);
  }
  const again = await loadModel(files, { readers });
  const ids = constant(Int32Array.of(1, 5, 2, 9), [1, 4], 'i32');
  const { a, b } = await evaluate({ a: model.logits(ids), b: again.logits(ids) }, { executor });
  expect(apart(a!, b!)).toBe(0);
});

test('what bitsandbytes makes of a matrix in FP4 and int8 is what ours is', async () => {
  const [plain, golden] = [
    await openSafetensors(join(data, 'bitsandbytes/nf4.safetensors')),
    await openSafetensors(join(data, 'bitsandbytes/fp4-int8.safetensors')),
  ];
  const [rows, inDim] = plain.tensors.get('weight')!.shape as [number, number];
  const weight = await plain.readFloat32('weight');

  const { levels } = packedFormats.fp4;
  expect(await golden.readFloat32('levels')).toEqual(Float32Array.from(levels));
  const floats = fp4({ doubleQuant: false }).pack('weight', weight, rows, inDim);
  expect(floats.scale).toEqual(await golden.readFloat32('absmax'));
  const codes = await golden.readFloat32('fp4');
  const level = (code: number): number => levels[code]!;
  // It has two codes for 0.
  for (const [i, byte] of floats.codes.entries()) {
    expect(level(byte >> 4)).toBe(level(codes[i]! >> 4));
    expect(level(byte & 15)).toBe(level(codes[i]! & 15));
  }

  const whole = int8().pack('weight', weight, rows, inDim);
  const [theirs, maxima] = [await golden.readFloat32('int8'), await golden.readFloat32('SCB')];
  for (const [row, most] of maxima.entries()) expect(whole.scale[row]).toBeCloseTo(most / 127, 8);
  // In the middle of two steps either is taken.
  for (const [i, code] of whole.codes.entries()) {
    const most = maxima[Math.floor(i / inDim)]!;
    const steps = most === 0 ? 0 : (weight[i]! / most) * 127;
    expect(Math.abs(code - 128 - steps)).toBeLessThan(0.5 + 1e-4);
    expect(Math.abs(theirs[i]! - steps)).toBeLessThan(0.5 + 1e-4);
  }
});

test('a folder whose weights are quantised is refused without a reader of it, which is told', async () => {
  await expect(loadModel(join(folder, 'awq'))).rejects.toThrow(
    /quant_method "awq" is not supported by itself; loadModel takes the reader of such: \{ readers: \[awq\] \}/,
  );
  await expect(loadModel(join(folder, 'awq'), { readers: [gptq] })).rejects.toThrow(
    /quant_method "awq".*; gptq are, as loadModel was told; .* \{ readers: \[awq\] \}/,
  );
});

test('experts, which such files hold packed too, are not left out of them', async () => {
  const model = await loadModel(familyModel('mixtral-causal'));
  const writer: CheckpointWriter = (linears) => ({ paths: [...linears.keys()], tensors: new Map(), config: {} });
  const writing = saveModel(model, memoryFiles(), { executor: reference(), writer });
  await expect(writing).rejects.toThrow(/linear layers alone, and .*experts.* would be missing/);
});
