import { attach, load, type MethodFactory, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { int2, int8, nf2, nf3, nf4, quantize, storedBytes } from '@peftjs/quant';
import { evaluate, reference, type Tensor } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { describe, expect, test } from 'vitest';
import { type LoraOptions, loftq, loftqBase, lora, mica, olora, pissa } from '../src/index.ts';

const executor = reference();
const base = tinyLlama();
const ids = tokens([1, 5, 2, 9], [3, 3, 0, 7]);
const path = 'model.layers.0.self_attn.q_proj';
const { inDim, outDim } = base.linears.get(path)!;

const logitsOf = async ({ model }: { readonly model: typeof base }) =>
  (await evaluate({ y: model.logits(ids) }, { executor }))['y']!;
const svdOf = async (weight: Tensor): Promise<SingularValueDecomposition> =>
  new SingularValueDecomposition(
    Matrix.from1DArray(outDim, inDim, (await evaluate({ weight }, { executor }))['weight']!),
    { autoTranspose: true },
  );
/** What is left of the layer's weight once the scaled product is taken out of it. */
const restOf = async (method: MethodFactory<LoraOptions>): Promise<number[]> => {
  const { params } = attach(base, [method({ target: [path], rank: 2, alpha: 5 })]);
  const [a, b] = [params.get(`${path}.lora_A.weight`)!, params.get(`${path}.lora_B.weight`)!];
  const w = Matrix.from1DArray(outDim, inDim, await executor.read(base.linears.get(path)!.dense().weight as typeof a));
  const product = Matrix.from1DArray(outDim, 2, await executor.read(b)).mmul(
    Matrix.from1DArray(2, inDim, await executor.read(a)),
  );
  return Matrix.sub(w, product.mul(5 / 2)).to1DArray();
};

describe.each([
  ['pissa', pissa],
  ['olora', olora],
])('%s', (name, method) => {
  test('begins as the base, and is saved as an ordinary LoRA of twice the rank', async () => {
    const before = await logitsOf({ model: base });
    for (const more of [{}, { rsLora: true, rankPattern: { q_proj: 2 }, alphaPattern: { '.*1.*down_proj': 3 } }]) {
      const adapted = attach(base, [
        method({ target: ['q_proj', 'down_proj'], rank: 3, alpha: 6, bias: 'none', ...more }),
      ]);
      expect(distance(await logitsOf(adapted), before)).toBeLessThan(1e-5);
      await shake(adapted.params, { executor });
      expect(distance(await logitsOf(adapted), before)).toBeGreaterThan(1e-2);
      const files = memoryFiles(new Map());
      await save(adapted, files, { executor });
      const again = await load(base, files, [lora]);
      expect(again.method.name).toBe('lora');
      expect(again.params.get('model.layers.1.mlp.down_proj.lora_A.weight')!.shape[0]).toBe(6);
      expect(distance(await logitsOf(again), await logitsOf(adapted))).toBeLessThan(1e-4);
    }
  });

  test('refuses ranks that a weight has not, and files where its name is missing', () => {
    expect(() => attach(base, [method({ rank: 9 })])).toThrow(`${name}: rank 9 is above what ${path} of`);
    expect(() => lora.fromConfig({ peft_type: 'LORA', init_lora_weights: name })).toThrow(
      `which ${name} alone computes`,
    );
    expect(method.reads({ peft_type: 'LORA', init_lora_weights: `${name}_niter_4` })).toBe(false);
  });
});

test('pissa takes the largest singular values', async () => {
  const { diagonal } = await svdOf(base.linears.get(path)!.dense().weight);
  expect(Math.hypot(...(await restOf(pissa)))).toBeCloseTo(Math.hypot(...diagonal.slice(2)), 4);
});

test('olora takes the first columns of Q and the first rows of R, unscaled', async () => {
  const { params } = attach(base, [olora({ target: [path], rank: 2, alpha: 2 })]);
  const b = Matrix.from1DArray(outDim, 2, await executor.read(params.get(`${path}.lora_B.weight`)!));
  expect(distance(b.transpose().mmul(b).to1DArray(), [1, 0, 0, 1])).toBeLessThan(1e-6);
});

test('mica has the least left singular vectors, which are not trained', async () => {
  const { params, state } = attach(base, [mica({ target: [path], rank: 2 })]);
  expect([...params.keys()]).toEqual([`${path}.lora_A.weight`]);
  const b = Matrix.from1DArray(outDim, 2, await executor.read(state.get(`${path}.lora_B.weight`)!));
  const { weight } = base.linears.get(path)!.dense();
  const w = Matrix.from1DArray(outDim, inDim, (await evaluate({ weight }, { executor }))['weight']!);
  const { diagonal } = await svdOf(weight);
  expect(b.transpose().mmul(w).norm('frobenius')).toBeCloseTo(Math.hypot(...diagonal.slice(-2)), 4);
});

describe('first values', () => {
  const valuesOf = async (init: 'gaussian' | 'orthogonal', seed: number, rank: number) => {
    const { params } = attach(tinyLlama({ hiddenSize: 64 }), [lora({ target: [path], rank, init })], { seed });
    const [a, b] = [params.get(`${path}.lora_A.weight`)!, params.get(`${path}.lora_B.weight`)!];
    return {
      a: Matrix.from1DArray(rank, a.shape[1]!, await executor.read(a)),
      b: Matrix.from1DArray(b.shape[0]!, rank, await executor.read(b)),
    };
  };
  /** Of many values: the mean, and the mean of squares. */
  const moments = (values: readonly number[]): readonly [number, number] => [
    values.reduce((x, y) => x + y, 0) / values.length,
    values.reduce((x, y) => x + y * y, 0) / values.length,
  ];

  test('gaussian ones are from N(0, 1/r²), and the others zero', async () => {
    const { a, b } = await valuesOf('gaussian', 1, 8);
    const [mean, square] = moments(a.to1DArray());
    const n = a.rows * a.columns;
    expect(Math.abs(mean)).toBeLessThan(5 / 8 / Math.sqrt(n));
    expect(Math.abs(square * 64 - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(b.max()).toBe(0);
  });

  test('orthogonal ones are not zero but their product, with the variance of r/2 in r directions of 1/100', async () => {
    const { a, b } = await valuesOf('orthogonal', 2, 8);
    expect(b.mmul(a).norm('frobenius')).toBeLessThan(1e-6 * a.norm('frobenius'));
    for (const m of [a, b]) {
      const n = m.rows * m.columns;
      const [, square] = moments(m.to1DArray());
      expect(Math.abs(square * 200 - 1)).toBeLessThan(5 * Math.sqrt(4 / n));
    }
    expect((await valuesOf('orthogonal', 3, 8)).a.to1DArray()).not.toEqual(a.to1DArray());
    expect(() => attach(base, [lora({ rank: 3, init: 'orthogonal' })])).toThrow(/need an even rank, got 3/);
  });
});

describe('loftq', () => {
  const target = [path];
  const errorOf = async (model: typeof base): Promise<number> => {
    const adapted = attach(model, [loftq({ before: base, target, rank: 2, alpha: 6 })]);
    const weights = [base.linears.get(path)!, adapted.model.linears.get(path)!].map((layer) => layer.dense().weight);
    const { w, q } = await evaluate({ w: weights[0]!, q: weights[1]! }, { executor });
    return Math.hypot(...w!.map((v, i) => v - q![i]!)) / Math.hypot(...w!);
  };

  test.each([
    ['int2', int2({ blockSize: 4 })],
    ['nf2', nf2({ blockSize: 8, doubleQuant: false })],
    ['nf4', nf4({ blockSize: 8 })],
  ])(
    'comes closer to the model before than %s alone, with every round; saved as an ordinary LoRA',
    async (_, format) => {
      const quantized = quantize(base, format, target);
      const alone = await evaluate(
        { w: base.linears.get(path)!.dense().weight, q: quantized.linears.get(path)!.dense().weight },
        { executor },
      );
      const lost = Math.hypot(...alone['w']!.map((v, i) => v - alone['q']![i]!)) / Math.hypot(...alone['w']!);
      const once = await errorOf(quantized);
      expect(once).toBeLessThan(0.9 * lost);
      const { model, errors } = await loftqBase(base, quantized, {
        executor,
        target,
        rank: 2,
        rounds: 20,
        untilWorse: true,
      });
      expect(await errorOf(model)).toBeCloseTo(errors.get(path)!, 5);
      expect(errors.get(path)!).toBeLessThanOrEqual(once + 1e-6);
      const adapted = attach(model, [loftq({ before: base, target, rank: 2, alpha: 6 })]);
      const files = memoryFiles(new Map());
      await save(adapted, files, { executor });
      const again = await load(model, files, [lora]);
      expect(distance(await logitsOf(again), await logitsOf(adapted))).toBeLessThan(1e-5);
    },
  );

  test('a budget gives each layer the base that loses least in all', async () => {
    const target = ['q_proj', 'v_proj', 'down_proj'];
    const bases = [nf2({ blockSize: 8 }), nf3({ blockSize: 8 }), int8()].map((format) =>
      quantize(base, format, target),
    );
    const apart = await Promise.all(bases.map((one) => loftqBase(base, one, { executor, target, rank: 2, rounds: 1 })));
    const paths = [...apart[0]!.errors.keys()];
    const lengths = await Promise.all(
      paths.map(async (p) => {
        const { w } = await evaluate({ w: base.linears.get(p)!.dense().weight }, { executor });
        return { square: (w as Float32Array).reduce((sum, v) => sum + v * v, 0), size: w!.length };
      }),
    );
    const values = lengths.reduce((n, { size }) => n + size, 0);
    // All ways to choose, by hand.
    const budget = 7;
    const bitsOf = (p: string, i: number): number => 8 * storedBytes(bases[i]!, [p]);
    const ways = paths.reduce<readonly (readonly number[])[]>(
      (all) => all.flatMap((way) => [0, 1, 2].map((i) => [...way, i])),
      [[]],
    );
    const lossOf = (way: readonly number[]): number =>
      way.reduce((sum, i, k) => sum + apart[i]!.errors.get(paths[k]!)! ** 2 * lengths[k]!.square, 0);
    const least = Math.min(
      ...ways.filter((way) => way.reduce((n, i, k) => n + bitsOf(paths[k]!, i), 0) <= budget * values).map(lossOf),
    );
    const { model, errors, bits } = await loftqBase(base, bases, { executor, target, rank: 2, rounds: 1, budget });
    expect(paths.reduce((sum, p, k) => sum + errors.get(p)! ** 2 * lengths[k]!.square, 0)).toBeCloseTo(least, 6);
    expect(bits).toBeLessThanOrEqual(budget * (1 + 1e-6));
    expect(bits * values).toBeCloseTo(8 * storedBytes(model, target), 6);
    await expect(loftqBase(base, bases, { executor, target, rank: 2, budget: 0.5 })).rejects.toThrow(
      /the smallest bases take [\d.]+ bits a value, the budget is 0.5; give a larger budget/,
    );
    await expect(loftqBase(base, bases, { executor, target, rank: 2 })).rejects.toThrow(/give budget, in bits/);
  });

  test('data say which errors count', async () => {
    const data = [
      {
        rows: 2,
        columns: { ids: Int32Array.of(1, 5, 2, 9, 3, 3, 0, 7), labels: Int32Array.of(5, 2, 9, 1, 3, 0, 7, -100) },
        shapes: { ids: [2, 4], labels: [2, 4] },
      },
    ];
    const quantized = quantize(base, nf2(), target);
    const how = { executor, target, rank: 2, rounds: 1 };
    const { errors, weighings, model } = await loftqBase(base, quantized, { ...how, data });
    expect([...weighings.keys()]).toEqual([...errors.keys()]);
    const adapted = attach(model, [loftq({ before: base, weighings, target, rank: 2 })]);
    const plain = attach(model, [loftq({ before: base, target, rank: 2 })]);
    const { w, a, b } = await evaluate(
      Object.fromEntries(
        Object.entries({ w: base, a: adapted.model, b: plain.model }).map(([name, view]) => [
          name,
          view.linears.get(path)!.dense().weight,
        ]),
      ),
      { executor },
    );
    const { rows, columns } = weighings.get(path)!;
    const apart = (values: ArrayLike<number>): number =>
      Math.hypot(...Array.from(w!, (v, i) => (v - values[i]!) * rows[Math.floor(i / inDim)]! * columns[i % inDim]!));
    expect(apart(a!)).toBeLessThan(0.999 * apart(b!));
  });

  test('refuses to begin without the model before, or with another', () => {
    expect(() => attach(base, [loftq({ target } as never)])).toThrow(
      /q_proj of .* is not there in `before`; give the model/,
    );
    expect(() => attach(base, [loftq({ target, before: tinyLlama({ hiddenSize: 32 }) })])).toThrow(
      /q_proj of .* is .* in `before`/,
    );
  });
});
