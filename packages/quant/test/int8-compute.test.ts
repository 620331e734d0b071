import { grad } from '@peftjs/autograd';
import { evaluate, mul, reference, sum, type TypedArray, variable } from '@peftjs/tensor';
import { affine, type Linear, meanOf } from '@peftjs/transformer';
import { describeLinear, noModel, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { computeInt8, fp8, hqq, int4, int8, nf4, type QuantFormat, quantize, quantizeByLlmInt8 } from '../src/index.ts';
import { apartLinear, apartOf } from '../src/llm-int8/apart-linear.ts';
import { outliers } from '../src/llm-int8/quantize-by-llm-int8.ts';
import { twoDigits } from '../src/llm-int8/two-digits.ts';
import { encodeLinear } from '../src/packed-linear.ts';
import { executors } from './executors.ts';

const format = int8({ compute: 'int8' });
const drawn = (name: string, shape: readonly number[], of: (i: number) => number) =>
  variable(name, shape, () => Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => of(i)));
const weight = drawn('w', [9, 21], Math.sin);
const bias = drawn('b', [9], (i) => i / 9);

const compute = 'int8';
/** Formats that compute in int8, and how far values move that are stored again. */
const formats: readonly (readonly [string, QuantFormat, number])[] = [
  ['int8', format, 1e-6],
  ['nf4', nf4({ compute, blockSize: 8 }), 1e-3],
  ['int4', int4({ compute, blockSize: 8, zeroPoints: 'real' }), 1e-3],
];
for (const [name, stored, encodes] of formats)
  describeLinear(`a layer in ${name} that computes in int8`, {
    linear: () => encodeLinear(stored, 'w', { weight, bias }),
    encodes,
    rounds: 0.03,
  });
describeLinear('a layer that computes in int8 but for two columns', {
  linear: () =>
    apartLinear('w', { weight, bias }, apartOf('w', 21, [3, 20]), (name, values) => encodeLinear(format, name, values)),
  encodes: 1e-6,
  rounds: 0.03,
});

describeLinear('a layer that computes in int8 in two digits', {
  linear: () => twoDigits(encodeLinear(format, 'w', { weight, bias: null }), bias),
  encodes: 1e-6,
  rounds: 0.03,
});

const cosine = (a: TypedArray, b: TypedArray): number => {
  const dot = Array.from(a).reduce((n, v, i) => n + v * b[i]!, 0);
  return dot / Math.hypot(...a) / Math.hypot(...b);
};

describe.each(executors)('on %s', (_, open) => {
  const cases = formats.flatMap(([name, stored]) => [21, 24].map((inDim) => [name, inDim, stored] as const));
  test.each(cases)(
    'products of whole numbers and their gradients are the same as in the reference: %s, %i inputs',
    async (__, inDim, stored) => {
      const layer = encodeLinear(stored, 'w', { weight: drawn('w', [9, inDim], Math.sin), bias });
      const x = drawn('x', [5, inDim], (i) => Math.cos(3 * i) + 0.01 * (i % 7));
      const y = layer.apply(x, noModel);
      const outputs = { y, dx: grad(sum(mul(y, y)), [x])[0]! };
      const [got, wanted] = [
        await evaluate(outputs, { executor: await open() }),
        await evaluate(outputs, { executor: reference() }),
      ];
      for (const name of ['y', 'dx'])
        expect(Math.max(...got[name]!.map((v, i) => Math.abs(v - wanted[name]![i]!)))).toBeLessThan(1e-4);
    },
  );

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'a row with %d makes a row of no numbers, and the others are as they were',
    async (odd) => {
      const layer = encodeLinear(format, 'w', { weight, bias: null });
      const of = (value: (i: number) => number) => layer.apply(drawn('x', [3, 21], value), noModel);
      const { got, plain } = await evaluate(
        { got: of((i) => (i === 30 ? odd : Math.cos(i))), plain: of(Math.cos) },
        { executor: await open() },
      );
      expect(got!.subarray(9, 18).every(Number.isNaN)).toBe(true);
      expect([...got!.subarray(0, 9), ...got!.subarray(18)]).toEqual([
        ...plain!.subarray(0, 9),
        ...plain!.subarray(18),
      ]);
    },
  );
});

const ids = tokens([1, 5, 2, 9, 4], [3, 3, 12, 0, 7]);
const labels = tokens([5, 2, 9, 4, -100], [3, 12, 0, 7, 1]);

test.each([
  ['its layers', 'all-linear'],
  ['its head too, which the loss reads as it is stored', [...tinyLlama().linears.keys()]],
] as const)(
  'a model that computes %s in int8 has nearly the loss and the gradient of the norms that it had',
  async (_, target) => {
    const base = tinyLlama();
    const norm = base.norms.get('model.layers.0.input_layernorm')!.weight;
    const of = (model: typeof base) => {
      const loss = meanOf(model.loss({ ids, labels }));
      return { loss, slope: grad(loss, [norm])[0]! };
    };
    const executor = reference();
    const [plain, rounded] = [
      await evaluate(of(base), { executor }),
      await evaluate(of(quantize(base, format, target)), { executor }),
    ];
    expect(Math.abs(plain['loss']![0]! - rounded['loss']![0]!)).toBeLessThan(0.01);
    expect(cosine(plain['slope']!, rounded['slope']!)).toBeGreaterThan(0.99);
  },
);

test('an adapted head in int8 is no head that the loss reads as it is stored', async () => {
  const base = quantize(tinyLlama(), format, ['lm_head']);
  const head = base.linears.get('lm_head')!;
  const twice = base.with({
    linears: new Map([['lm_head', { ...head, apply: (x, call) => mul(head.apply(x, call), 2) }]]),
  });
  const lossOf = (model: typeof base) => meanOf(model.loss({ ids, labels }));
  const { fused, wrapped } = await evaluate({ fused: lossOf(base), wrapped: lossOf(twice) }, { executor: reference() });
  expect(Math.abs(fused![0]! - wrapped![0]!)).toBeGreaterThan(1e-3);
});

test('an input is an outlier where its size is over so many times the median', () => {
  expect(outliers(Float32Array.of(1, 37, 1, 35, 0.5), 6)).toEqual([1]);
  expect(outliers(Float32Array.of(1, 37, 1, 35, 0.5), 5)).toEqual([1, 3]);
  expect(outliers(new Float32Array(4), 6)).toEqual([]);
});

test('inputs in two digits lose a hundredth of what one loses, and their gradient is that of one product', async () => {
  const one = encodeLinear(format, 'w', { weight, bias });
  const both = twoDigits(encodeLinear(format, 'w', { weight, bias: null }), bias);
  const [x, dy] = [drawn('x', [2, 3, 21], Math.tan), drawn('dy', [2, 3, 9], Math.cos)];
  const slope = (layer: Linear) => grad(sum(mul(layer.apply(x, noModel), dy)), [x])[0]!;
  const { exact, ...got } = await evaluate(
    {
      exact: affine(x, one.dense()),
      one: one.apply(x, noModel),
      both: both.apply(x, noModel),
      dOne: slope(one),
      dBoth: slope(both),
    },
    { executor: reference() },
  );
  const off = (values: TypedArray): number => Math.hypot(...values.map((v, i) => v - exact![i]!));
  expect(off(got['one']!)).toBeGreaterThan(0.01);
  expect(off(got['both']!)).toBeLessThan(off(got['one']!) / 100);
  expect(got['dBoth']).toEqual(got['dOne']);
});

test('inputs that stand out stay floats, and the others lose less', async () => {
  const [executor, model] = [reference(), tinyLlama()];
  // The layer before makes one of the inputs large.
  const up = model.linears.get('model.layers.0.mlp.up_proj')!;
  const { values } = await evaluate({ values: up.dense().weight }, { executor });
  const large = values!.map((v, i) => (Math.floor(i / up.inDim) === 2 ? 300 * v : v)) as Float32Array;
  const linears = new Map([
    ['model.layers.0.mlp.up_proj', up.encode({ weight: variable('up', [up.outDim, up.inDim], large), bias: null })],
  ]);
  const outlying = model.with({ linears });
  const row = Int32Array.from([1, 5, 2, 9, 4, 3, 3, 0, 7, 12]);
  const data = [{ rows: 1, columns: { ids: row }, shapes: { ids: [1, row.length] } }];
  const target = ['down_proj'];
  const look = { executor, data, target, threshold: 4 };
  const logits = {
    whole: outlying,
    plain: quantize(outlying, format, target),
    apart: await quantizeByLlmInt8(outlying, { ...look, peaks: Number.POSITIVE_INFINITY }),
    both: await quantizeByLlmInt8(outlying, { ...look, peaks: 1 }),
  };
  const got = await evaluate(
    Object.fromEntries(Object.entries(logits).map(([name, m]) => [name, m.logits(tokens([...row]))])),
    { executor },
  );
  const off = (name: string): number => Math.hypot(...got[name]!.map((v, i) => v - got['whole']![i]!));
  expect(off('apart')).toBeGreaterThan(0);
  expect(off('apart')).toBeLessThan(off('plain') / 3);
  expect(off('both')).toBeLessThan(off('apart'));
});

test('a base that is multiplied in int8 by one call is what its formats say, floats or packed', async () => {
  const [executor, model] = [reference(), tinyLlama()];
  const path = 'model.layers.0.mlp.up_proj';
  const mixed = (own: QuantFormat) => quantize(quantize(model, own, ['up_proj']), int8(), ['down_proj']);
  const [base, wanted] = [computeInt8(mixed(nf4())), quantize(mixed(nf4({ compute })), format, ['q_proj'])];
  const of = (m: typeof model) => m.logits(ids);
  const { all, one, plain } = await evaluate(
    { all: of(base), one: of(computeInt8(wanted)), plain: of(model) },
    { executor },
  );
  expect(Math.max(...all!.map((v, i) => Math.abs(v - one![i]!)))).toBe(0);
  expect(cosine(all!, plain!)).toBeGreaterThan(0.95);
  const layer = base.linears.get(path)!;
  const again = layer.encode(model.linears.get(path)!.dense());
  const x = drawn('x', [3, layer.inDim], (i) => Math.sin(i));
  const products = { y: layer, again, z: mixed(nf4()).linears.get(path)! };
  const got = await evaluate(
    Object.fromEntries(Object.entries(products).map(([name, own]) => [name, own.apply(x, noModel)])),
    { executor },
  );
  expect(got['again']).toEqual(got['y']);
  expect(got['y']).not.toEqual(got['z']);
});

test('layers that are neither floats nor packed alone are refused by name', () => {
  const model = tinyLlama();
  const path = 'model.layers.0.self_attn.q_proj';
  const own = model.linears.get(path)!;
  const linears = new Map([
    [path, { ...own, dense: () => ({ weight: mul(own.dense().weight, own.dense().weight), bias: null }) }],
  ]);
  expect(() => computeInt8(model.with({ linears }))).toThrow(`computeInt8: ${path} are neither`);
});

test.each([
  ['int8', int8],
  ['nf4', nf4],
  ['fp8', fp8],
  ['hqq', hqq],
] as const)('%s refuses another way to compute', (name, of) => {
  expect(() => of({ compute: 'int4' as 'int8' })).toThrow(new RegExp(`^${name}.*compute`));
});
