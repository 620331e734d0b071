import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { openSafetensors } from '@peftjs/io';
import { loftq, loftqBase } from '@peftjs/lora';
import { int8, nf4, quantize } from '@peftjs/quant';
import { evaluate, reference, variable } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { denseLinear } from '@peftjs/transformer';
import { expect, test } from 'vitest';

const golden = await openSafetensors(join(import.meta.dirname, '../data/bitsandbytes/loftq.safetensors'));
const [rows, columns] = golden.tensors.get('weight')!.shape as [number, number];
const path = 'model.layers.0.self_attn.q_proj';
const executor = reference();
const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));
const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  norm(Array.from(a, (v, i) => v - b[i]!)) / norm(b);

test.each([
  ['4 1', nf4({ doubleQuant: false }), 1],
  ['4 5', nf4({ doubleQuant: false }), 5],
  ['8 1', int8(), 1],
] as const)("%s: base and first values are those of PEFT's loftq_init", async (name, format, rounds) => {
  const read = (part: string): Promise<Float32Array> => golden.readFloat32(`${name} ${part}`);
  const tiny = tinyLlama({ hiddenSize: columns, heads: 4, headDim: rows / 4 });
  const weight = variable(`${path}.weight`, [rows, columns], await golden.readFloat32('weight'));
  const before = tiny.with({ linears: new Map([[path, denseLinear({ weight, bias: null })]]) });
  const target = [path];
  const { model } = await loftqBase(before, quantize(before, format, target), { executor, target, rank: 4, rounds });
  const { params } = attach(model, [loftq({ before, target, rank: 4, alpha: 4 })]);
  const values = await evaluate(
    {
      q: model.linears.get(path)!.dense().weight,
      a: params.get(`${path}.lora_A.weight`)!,
      b: params.get(`${path}.lora_B.weight`)!,
    },
    { executor },
  );
  // Where a value is as far from either of two levels, rounding alone may decide.
  const quantized = await read('quantized');
  expect(values['q']!.filter((v, i) => Math.abs(v - quantized[i]!) > 1e-4)).toHaveLength(0);
  const product = (a: ArrayLike<number>, b: ArrayLike<number>): number[] =>
    Array.from({ length: rows * columns }, (_, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      return [0, 1, 2, 3].reduce((sum, k) => sum + b[row * 4 + k]! * a[k * columns + column]!, 0);
    });
  expect(apart(product(values['a']!, values['b']!), product(await read('A'), await read('B')))).toBeLessThan(1e-4);
  expect(norm(values['a']!)).toBeCloseTo(norm(await read('A')), 4);
});

test("begins where rows and columns count unlike as LQ-LoRA's code does", async () => {
  const read = (part: string): Promise<Float32Array> => golden.readFloat32(part);
  const tiny = tinyLlama({ hiddenSize: columns, heads: 4, headDim: rows / 4 });
  const target = [path];
  const viewOf = (values: Float32Array): typeof tiny => {
    const weight = variable(`${path}.weight`, [rows, columns], values);
    return tiny.with({ linears: new Map([[path, denseLinear({ weight, bias: null })]]) });
  };
  const fisher = await read('fisher');
  const rootOf = (indices: readonly number[]): number =>
    Math.sqrt(indices.reduce((sum, i) => sum + fisher[i]!, 0) / indices.length);
  const weighing = {
    rows: Float64Array.from({ length: rows }, (_, r) =>
      rootOf(Array.from({ length: columns }, (_, c) => r * columns + c)),
    ),
    columns: Float64Array.from({ length: columns }, (_, c) =>
      rootOf(Array.from({ length: rows }, (_, r) => r * columns + c)),
    ),
  };
  const weighings = new Map([[path, weighing]]);
  const [before, base] = [viewOf(await read('weight')), viewOf(await read('4 1 quantized'))];
  const { params } = attach(base, [loftq({ before, weighings, target, rank: 4, alpha: 4 })]);
  for (const [name, part] of [
    ['lora_A', 'weighted A'],
    ['lora_B', 'weighted B'],
  ] as const) {
    const { values } = await evaluate({ values: params.get(`${path}.${name}.weight`)! }, { executor });
    const wanted = await read(part);
    // Singular vectors have either sign.
    expect(apart(values!.map(Math.abs), wanted.map(Math.abs))).toBeLessThan(1e-4);
  }
});
