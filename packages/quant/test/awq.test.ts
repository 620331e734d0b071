import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';
import { evaluate, reference, variable } from '@peftjs/tensor';
import { describeLinear, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { bestScales } from '../src/awq/quantize-by-awq.ts';
import { scaledLinear } from '../src/awq/scaled-linear.ts';
import { hqq, int3, int4, nf3, quantize, quantizeByAwq } from '../src/index.ts';
import { encodeLinear } from '../src/packed-linear.ts';

const data = join(import.meta.dirname, '../../../tools/golden/data/rounding');
const [given, golden] = [
  await openSafetensors(join(data, 'gptq.safetensors')),
  await openSafetensors(join(data, 'awq.safetensors')),
];

test.each([
  ['3', int3],
  ['4', int4],
] as const)("at %s bits the scales are those of autoawq's search", async (bits, format) => {
  const [weight, inputs] = [await given.readFloat32('weight'), await given.readFloat32('inputs')];
  const columns = given.tensors.get('weight')!.shape[1]!;
  const rows = inputs.length / columns;
  const [products, means] = [new Float32Array(columns * columns), new Float32Array(columns)];
  for (let t = 0; t < inputs.length; t += columns)
    for (let a = 0; a < columns; a++) {
      means[a]! += Math.abs(inputs[t + a]!) / rows;
      for (let b = 0; b < columns; b++) products[a * columns + b]! += inputs[t + a]! * inputs[t + b]!;
    }
  const got = await bestScales(format({ blockSize: 16 }), 'w', weight, { products, means }, reference());
  for (const [i, wanted] of (await golden.readFloat32(bits)).entries()) expect(got[i]! / wanted).toBeCloseTo(1, 4);
  expect(Math.max(...got) / Math.min(...got)).toBeGreaterThan(1.5);
});

const format = int4({ blockSize: 8, zeroPoints: 'real' });
const scales = Float32Array.from({ length: 24 }, (_, i) => 1.5 + Math.sin(i));
describeLinear('a layer that divides its inputs', {
  linear: () => {
    const weight = variable(
      'w',
      [9, 24],
      Float32Array.from({ length: 216 }, (_, i) => Math.sin(i)),
    );
    const bias = variable(
      'b',
      [9],
      Float32Array.from({ length: 9 }, (_, i) => i / 9),
    );
    return scaledLinear(encodeLinear(format, 'w', { weight, bias }), scales, 'w');
  },
  encodes: 1e-5,
});

const ids = [1, 5, 2, 9, 4, 3, 3, 0, 7, 12];
const examples = [{ rows: 1, columns: { ids: Int32Array.from(ids) }, shapes: { ids: [1, ids.length] } }];

test.each([
  ['int3', int3({ blockSize: 16 })],
  ['nf3', nf3({ blockSize: 16 })],
  ['hqq', hqq({ bits: 3, blockSize: 16 })],
])('layers in %s give for the data what they gave, better than without', async (_, made) => {
  const [executor, model] = [reference(), tinyLlama({ hiddenSize: 32, intermediateSize: 48, headDim: 8 })];
  const target = ['up_proj'];
  const path = 'model.layers.0.mlp.up_proj';
  const [plain, scaled] = [
    quantize(model, made, target),
    await quantizeByAwq(model, made, { executor, data: examples, target }),
  ];
  const seen: Parameters<NonNullable<ReturnType<typeof model.linears.get>>['apply']>[] = [];
  const layer = model.linears.get(path)!;
  const watched = model.with({
    linears: new Map([
      [
        path,
        {
          ...layer,
          apply: (...given) => {
            seen.push(given);
            return layer.apply(...given);
          },
        },
      ],
    ]),
  });
  watched.logits(tokens(ids));
  const y = (m: typeof model) => m.linears.get(path)!.apply(...seen[0]!);
  const got = await evaluate({ whole: y(model), plain: y(plain), scaled: y(scaled) }, { executor });
  const apart = (name: string): number => Math.hypot(...got[name]!.map((v, i) => v - got['whole']![i]!));
  expect(apart('scaled')).toBeGreaterThan(0);
  expect(apart('scaled')).toBeLessThan(apart('plain'));
});

test('nothing to learn from is refused', async () => {
  await expect(quantizeByAwq(tinyLlama(), int3(), { executor: reference(), data: [] })).rejects.toThrow(
    /data .*not empty/,
  );
});
