import { grad } from '@peftjs/autograd';
import { evaluate, isVariable, mul, PeftError, sum, type Tensor, type TypedArray, variable } from '@peftjs/tensor';
import { initialData } from '@peftjs/tensor/executor';
import { denseLinear, meanOf, parameters } from '@peftjs/transformer';
import { describeLinear, distance, noModel, tinyGpt2, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { fp8, int3, int4, int8, nf2, nf4, quantize, quantizeOn, storedBytes } from '../src/index.ts';
import { encodeLinear } from '../src/packed-linear.ts';
import { executors } from './executors.ts';

const formats = {
  int8: int8(),
  'int8 in blocks': int8({ blockSize: 4 }),
  nf4: nf4(),
  'nf4 in blocks of 8': nf4({ blockSize: 8 }),
  'int3 with zero points': int3({ blockSize: 8 }),
  'int4 with real zero points': int4({ blockSize: 8, zeroPoints: 'real' }),
  'nf2 in blocks of 8': nf2({ blockSize: 8, doubleQuant: false }),
  'fp8 a row': fp8(),
};
const models = { llama: () => tinyLlama(), gpt2: () => tinyGpt2() };
const ids = tokens([1, 5, 2, 9, 4], [3, 3, 12, 0, 7]);
const labels = tokens([5, 2, 9, 4, -100], [3, 12, 0, 7, 1]);

for (const [name, format] of Object.entries(formats)) {
  const source = variable('w', [9, 21], () => Float32Array.from({ length: 189 }, (_, i) => Math.sin(i)));
  const bias = variable('b', [9], () => Float32Array.from({ length: 9 }, (_, i) => i / 9));
  for (const given of [bias, null])
    describeLinear(`a layer in ${name} with ${given ? 'a' : 'no'} bias`, {
      linear: () => encodeLinear(format, 'w', { weight: source, bias: given }),
      encodes: format.parts.includes('scaleCodes') ? 0.02 : 1e-6,
    });
}

describe.each(executors)('on %s', (_, open) => {
  describe.each(Object.entries(formats))('a layer in %s', (__, format) => {
    const weight = variable('w', [9, 21], () => Float32Array.from({ length: 189 }, (___, i) => Math.sin(i)));
    const bias = variable('b', [9], () => Float32Array.from({ length: 9 }, (___, i) => i / 9));
    const layer = encodeLinear(format, 'w', { weight, bias });
    const x = variable('x', [2, 3, 21], () => Float32Array.from({ length: 126 }, (___, i) => Math.cos(3 * i)));

    test('applies what its dense values say, and gradients flow back through them', async () => {
      const square = (y: Tensor): Tensor => sum(mul(y, y));
      const [y, plain] = [layer.apply(x, noModel), denseLinear(layer.dense()).apply(x, noModel)];
      const [dx, plainDx] = [grad(square(y), [x])[0]!, grad(square(plain), [x])[0]!];
      const got = await evaluate({ y, plain, dx, plainDx }, { executor: await open() });
      expect(y.shape).toEqual([2, 3, 9]);
      expect(distance(got['y']!, got['plain']!)).toBeLessThan(1e-4);
      expect(distance(got['dx']!, got['plainDx']!)).toBeLessThan(1e-3);
    });

    test('encodes other values in its format; its own values once more stay nearly the same', async () => {
      const executor = await open();
      const { own } = await evaluate({ own: layer.dense().weight }, { executor });
      const again = layer.encode({ weight: variable('own', [9, 21], own!), bias: null });
      expect(again.dense().bias).toBeNull();
      const { values } = await evaluate({ values: again.dense().weight }, { executor });
      expect(distance(values!, own!)).toBeLessThan(format.parts.includes('scaleCodes') ? 0.02 : 1e-6);
    });
  });

  test.each(Object.keys(models) as (keyof typeof models)[])(
    'a quantised %s gives the loss of its dense values',
    async (name) => {
      const model = quantize(models[name](), nf4({ blockSize: 8 }));
      const plain = model.with({
        linears: new Map([...model.linears].map(([path, layer]) => [path, denseLinear(layer.dense())])),
      });
      const got = await evaluate(
        { loss: meanOf(model.loss({ ids, labels })), plain: meanOf(plain.loss({ ids, labels })) },
        { executor: await open() },
      );
      expect(distance(got['loss']!, got['plain']!)).toBeLessThan(1e-4);
    },
  );

  test('values on an executor are quantised as they are there', async () => {
    const executor = await open();
    const base = tinyLlama();
    const path = 'model.layers.0.mlp.up_proj';
    const weight = parameters(base).get(`${path}.weight`)!;
    const before = quantize(base, int8());
    await executor.write(
      weight,
      Float32Array.from((await executor.read(weight)) as Float32Array, (v) => v + 1),
    );
    const model = await quantizeOn(base, int8(), { executor, target: 'up_proj' });
    const { got, wanted } = await evaluate(
      { got: model.linears.get(path)!.dense().weight, wanted: weight },
      { executor },
    );
    expect(distance(got!, wanted!)).toBeLessThan(0.02);
    expect(() => quantize(base, int8())).toThrow(
      /int8: .*up_proj\.weight has been trained or written since it was loaded/,
    );
    await expect(evaluate({ y: before.logits(ids) }, { executor })).rejects.toThrow(/has been trained or written/);
  });
});

describe('quantize', () => {
  test('stores the layers it is told to, all but the head by default', () => {
    const base = tinyLlama();
    const model = quantize(base, nf4());
    const changed = [...model.linears]
      .filter(([path, layer]) => layer !== base.linears.get(path))
      .map(([path]) => path);
    expect(changed).toEqual([...base.linears.keys()].filter((path) => path !== 'lm_head'));
    expect(model.embeddings.get('model.embed_tokens')).toBe(base.embeddings.get('model.embed_tokens'));
    const some = quantize(base, nf4(), ['q_proj', 'lm_head']);
    expect([...some.linears].filter(([path, layer]) => layer !== base.linears.get(path))).toHaveLength(3);
    expect(() => quantize(base, nf4(), 'q_prj')).toThrow(/quantize: target 'q_prj' matches no layer/);
  });

  test('refuses what is quantised already, by name', () => {
    const model = quantize(tinyLlama(), nf4(), 'o_proj');
    expect(() => quantize(model, int8())).toThrow(
      /model\.layers\.0\.self_attn\.o_proj.* are adapted or quantised already/,
    );
  });

  test('refuses to encode values that are not known yet', () => {
    const layer = quantize(tinyLlama(), nf4()).linears.get('model.layers.0.self_attn.q_proj')!;
    const { weight, bias } = layer.dense();
    expect(() => layer.encode({ weight: mul(weight, 2), bias })).toThrow(PeftError);
    expect(() => layer.encode({ weight: mul(weight, 2), bias })).toThrow(/q_proj\.weight is computed/);
  });

  test('reads a tensor once for all its parts, not before they are wanted, and again where they are wanted again', async () => {
    let reads = 0;
    const weight = variable('w', [4, 64], () => {
      reads++;
      return new Float32Array(256).fill(0.5);
    });
    const layer = encodeLinear(nf4(), 'w', { weight, bias: null });
    expect(reads).toBe(0);
    for (let round = 1; round <= 2; round++) {
      const [, open] = executors[round - 1]!;
      const { values } = await evaluate({ values: layer.dense().weight }, { executor: await open() });
      expect(distance(values!, new Float32Array(256).fill(0.5))).toBeLessThan(1e-6);
      expect(reads).toBe(round);
    }
  });

  test('a tensor that cannot be packed is named when it is loaded, and again at the next try', async () => {
    const weight = variable('w', [1, 2], Float32Array.of(1, Number.NaN));
    const layer = encodeLinear(nf4(), 'layers.0.q_proj.weight', { weight, bias: null });
    for (let i = 0; i < 2; i++)
      await expect(evaluate({ y: layer.dense().weight }, { executor: await executors[0]![1]() })).rejects.toThrow(
        /nf4: layers\.0\.q_proj\.weight holds 1 values that are not finite/,
      );
  });
});

describe('storedBytes', () => {
  const model = tinyLlama({ hiddenSize: 64, intermediateSize: 128, headDim: 16 });
  const values = [...model.linears].reduce((n, [path, l]) => n + (path === 'lm_head' ? 0 : l.inDim * l.outDim), 0);
  const bitsOf = (bytes: number): number => (8 * bytes) / values;

  test('nf4 takes little more than 4 bits a value, int8 little more than 8', () => {
    expect(storedBytes(model)).toBe(4 * values);
    expect(bitsOf(storedBytes(quantize(model, nf4())))).toBeLessThan(4.2);
    expect(bitsOf(storedBytes(quantize(model, nf4({ doubleQuant: false }))))).toBeCloseTo(4.5, 5);
    expect(bitsOf(storedBytes(quantize(model, int8({ blockSize: 64 }))))).toBeCloseTo(8.5, 5);
    expect(bitsOf(storedBytes(quantize(model, int8())))).toBeLessThan(8.6);
  });

  test('what layers share counts once, and so do biases', () => {
    const gpt2 = tinyGpt2();
    const held = new Set(
      [...gpt2.linears].flatMap(([path, l]) => (path === 'lm_head' ? [] : [l.dense().weight, l.dense().bias!])),
    );
    const bytes = [...held].reduce((n, t) => n + 4 * t.shape.reduce((a, b) => a * b, 1), 0);
    expect(storedBytes(gpt2)).toBe(bytes);
  });
});

test('packed variables say by their names what they hold', async () => {
  const { weight } = quantize(tinyLlama(), nf4()).linears.get('model.layers.0.self_attn.q_proj')!.dense();
  const names =
    weight.node.kind === 'op' ? weight.node.inputs.flatMap((t) => (t && isVariable(t) ? [t.node.name] : [])) : [];
  expect(names).toEqual(
    ['codes', 'scale', 'scale_codes', 'scale_offset'].map((part) => `model.layers.0.self_attn.q_proj.weight.${part}`),
  );
  const parts: (TypedArray | null)[] = [];
  if (weight.node.kind === 'op')
    for (const t of weight.node.inputs) if (t && isVariable(t)) parts.push(await initialData(t));
  expect(parts.map((data) => data?.constructor.name)).toEqual([
    'Uint8Array',
    'Float32Array',
    'Uint8Array',
    'Float32Array',
  ]);
});
