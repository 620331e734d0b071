import { join } from 'node:path';
import { memoryFiles, openSafetensors } from '@peftjs/io';
import { concat, evaluate, reference, type Tensor, variable } from '@peftjs/tensor';
import { type Linear, loadModel, saveModel } from '@peftjs/transformer';
import { describeLinear, distance, tinyBert, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { bestScales } from '../src/awq/quantize-by-awq.ts';
import { scaledLinear } from '../src/awq/scaled-linear.ts';
import { awq, awqFiles, hqq, int3, int4, nf3, quantize, quantizeByAwq } from '../src/index.ts';
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

describe('scales in the norms', () => {
  const executor = reference();
  const model = tinyLlama({ hiddenSize: 32, intermediateSize: 64, headDim: 8 });
  const made = (target?: string[]) =>
    quantizeByAwq(model, int4({ blockSize: 32 }), {
      executor,
      data: examples,
      scales: 'norms',
      ...(target && { target }),
    });

  test("are those of AWQ's files: written and read again, the model is the same", async () => {
    const files = memoryFiles();
    const own = await made();
    await saveModel(own, files, { executor, writer: awqFiles() });
    const again = await loadModel(files, { readers: [awq] });
    for (const [path, layer] of again.linears) {
      const [a, b] = [layer, own.linears.get(path)!].map((one) => one.dense().weight);
      const got = await evaluate({ a: a!, b: b! }, { executor });
      // Scales are in f16 in the file.
      expect(got['a']!.every((v, k) => Math.abs(v - got['b']![k]!) <= Math.abs(v) * 2 ** -10)).toBe(true);
    }
    for (const [path, norm] of again.norms) {
      const got = await evaluate({ a: norm.weight, b: own.norms.get(path)!.weight }, { executor });
      expect(distance(got['a']!, got['b']!)).toBeLessThan(1e-6);
    }
    const norm = 'model.layers.0.input_layernorm';
    const { was, now } = await evaluate(
      { was: model.norms.get(norm)!.weight, now: own.norms.get(norm)!.weight },
      { executor },
    );
    expect(distance(was!, now!)).toBeGreaterThan(0.01);
  });

  test('layers that read a norm give for the data what they gave, better than without', async () => {
    const target = ['gate_proj', 'up_proj'];
    const wide = int3({ blockSize: 16 });
    const scaled = await quantizeByAwq(model, wide, { executor, data: examples, scales: 'norms', target });
    const plain = quantize(model, wide, target);
    const outputs = (m: typeof model): Tensor => {
      const seen: Tensor[] = [];
      const watched = target.map((name): [string, Linear] => {
        const path = `model.layers.0.mlp.${name}`;
        const layer = m.linears.get(path)!;
        const apply: Linear['apply'] = (x, call) => {
          const y = layer.apply(x, call);
          seen.push(y);
          return y;
        };
        return [path, { ...layer, apply }];
      });
      m.with({ linears: new Map(watched) }).logits(tokens(ids));
      return concat(seen[0]!, seen[1]!, { axis: 0 });
    };
    const got = await evaluate({ model: outputs(model), scaled: outputs(scaled), plain: outputs(plain) }, { executor });
    const apart = (name: string): number => Math.hypot(...got[name]!.map((v, i) => v - got['model']![i]!));
    expect(apart('scaled')).toBeGreaterThan(0);
    expect(apart('scaled')).toBeLessThan(apart('plain'));
  });

  test('a norm that other layers read too stays as it is; one that a sum reads is refused', async () => {
    const own = await made(['q_proj']);
    expect(own.norms.get('model.layers.0.input_layernorm')).toBe(model.norms.get('model.layers.0.input_layernorm'));
    const bert = tinyBert({ hiddenSize: 32, intermediateSize: 64, heads: 4, headDim: 8 });
    await expect(
      quantizeByAwq(bert, int4({ blockSize: 32 }), { executor, data: examples, scales: 'norms' }),
    ).rejects.toThrow(/scales in the norms change what this model gives/);
  });
});

test('nothing to learn from is refused', async () => {
  await expect(quantizeByAwq(tinyLlama(), int3(), { executor: reference(), data: [] })).rejects.toThrow(
    /data .*not empty/,
  );
});
