import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';
import { evaluate, reference } from '@peftjs/tensor';
import { distance, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { roundColumns } from '../src/gptq/round-columns.ts';
import { int3, quantize, quantizeByGptq } from '../src/index.ts';

const golden = await openSafetensors(join(import.meta.dirname, '../../../tools/golden/data/rounding/gptq.safetensors'));
const [rows, columns] = golden.tensors.get('weight')!.shape as [number, number];
const [weight, inputs] = [await golden.readFloat32('weight'), await golden.readFloat32('inputs')];
const products = new Float64Array(columns * columns);
for (let t = 0; t < inputs.length; t += columns)
  for (let a = 0; a < columns; a++)
    for (let b = 0; b < columns; b++) products[a * columns + b]! += inputs[t + a]! * inputs[t + b]!;

/** ‖(W − Q)·Xᵀ‖² */
const lossOf = (values: ArrayLike<number>): number => {
  let loss = 0;
  for (let r = 0; r < rows; r++) {
    const apart = Array.from({ length: columns }, (_, i) => weight[r * columns + i]! - values[r * columns + i]!);
    for (let a = 0; a < columns; a++)
      for (let b = 0; b < columns; b++) loss += apart[a]! * products[a * columns + b]! * apart[b]!;
  }
  return loss;
};

describe.each([2, 3, 4])('%i bits', (bits) => {
  test.each([false, true])("values are those of the authors' code; inputs ordered: %s", async (actOrder) => {
    const groupSize = 16;
    const { codes, scale, zeros, order } = roundColumns('w', weight, products, rows, {
      bits,
      groupSize,
      actOrder,
      damping: 0.01,
    });
    const got = new Float32Array(weight.length);
    for (let r = 0; r < rows; r++)
      for (let i = 0; i < columns; i++) {
        const group = r * (columns / groupSize) + Math.floor(i / groupSize);
        got[r * columns + (order?.[i] ?? i)] = scale[group]! * (codes[r * columns + i]! - zeros[group]!);
      }
    const wanted = await golden.readFloat32(`${bits}${actOrder ? ' act-order' : ''}`);
    // It is in f32: in the middle of two steps it may take the other, and what follows differs.
    const others = wanted.filter((v, i) => Math.abs(v - got[i]!) > 1e-4);
    expect(others.length).toBeLessThan(0.02 * wanted.length);
    expect(lossOf(got) / lossOf(wanted)).toBeCloseTo(1, 1);
  });
});

const ids = [1, 5, 2, 9, 4, 3, 3, 0, 7, 12];
const data = [{ rows: 1, columns: { ids: Int32Array.from(ids) }, shapes: { ids: [1, ids.length] } }];
const tiny = () => tinyLlama({ hiddenSize: 32, intermediateSize: 48, headDim: 8 });

test.each([false, true])(
  'a model is nearer to what it was than by rounding alone; inputs ordered: %s',
  async (actOrder) => {
    const [executor, model] = [reference(), tiny()];
    const rounded = quantize(model, int3({ blockSize: 16 }));
    const made = await quantizeByGptq(model, { executor, data, bits: 3, groupSize: 16, actOrder, damping: 0.1 });
    const got = await evaluate(
      { whole: model.logits(tokens(ids)), rounded: rounded.logits(tokens(ids)), made: made.logits(tokens(ids)) },
      { executor },
    );
    const apart = (name: string): number => Math.hypot(...got[name]!.map((v, i) => v - got['whole']![i]!));
    expect(apart('made')).toBeLessThan(0.7 * apart('rounded'));
    expect(distance(got['made']!, got['whole']!)).toBeGreaterThan(0);
    expect(made.linears.get('lm_head')).toBe(model.linears.get('lm_head'));
  },
);

test('groups that do not fill the inputs of layers, and inputs without examples, are refused by name', async () => {
  const executor = reference();
  await expect(quantizeByGptq(tiny(), { executor, data, groupSize: 24 })).rejects.toThrow(
    /groups of 24 do not fill the inputs of model\.layers\.0\.self_attn\.q_proj/,
  );
  await expect(quantizeByGptq(tiny(), { executor, data: [] })).rejects.toThrow(/data .*not empty/);
  await expect(quantizeByGptq(tiny(), { executor, data, bits: 5 as never })).rejects.toThrow(/bits .*2, 3, 4 or 8/);
});
