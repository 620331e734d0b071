import { type Adapted, attach, hotSwap, type Method } from '@peftjs/core';
import { compile, evaluate, normalValues, randomSource, reference, type Tensor } from '@peftjs/tensor';
import { distance, shake, tinyGpt2, tinyLlama, tokens } from '@peftjs/testkit';
import { Matrix, QrDecomposition } from 'ml-matrix';
import { describe, expect, test } from 'vitest';
import { combineTensors } from '../src/algebra/task-vectors.ts';
import { type Product, productSvd, truncatedSvd } from '../src/algebra/truncated-svd.ts';
import {
  adalora,
  dora,
  gralora,
  hira,
  hra,
  kappaTargets,
  loha,
  lokr,
  lora,
  mergeAdapters,
  miss,
  oft,
  reduceIntruderDimension,
  toLora,
  vera,
} from '../src/index.ts';

const executor = reference();
const base = tinyLlama();
const ids = tokens([1, 5, 2, 9], [3, 3, 0, 7]);
const path = 'model.layers.0.self_attn.q_proj';

const trained = async (method: Method): Promise<Adapted> => {
  const adapted = attach(base, [method]);
  await shake(adapted.params, { executor });
  return adapted;
};
const logitsOf = async ({ model }: Pick<Adapted, 'model'>) =>
  (await evaluate({ y: model.logits(ids) }, { executor }))['y']!;
const deltaOf = async ({ model }: Adapted, at = path): Promise<Float32Array> => {
  const weight = (from: typeof base): Tensor => from.linears.get(at)!.dense().weight;
  const { now, before } = await evaluate({ now: weight(model), before: weight(base) }, { executor });
  return (now as Float32Array).map((v, i) => v - before![i]!);
};

/** A matrix with the singular values 1/1, 1/√2, 1/√3, …, which fall slowly. */
const slow = (rows: number, columns: number): Matrix => {
  const random = randomSource(7);
  const draw = (n: number): Matrix => Matrix.from1DArray(n, columns, normalValues(n * columns, 1, random));
  const [u, v] = [new QrDecomposition(draw(rows)), new QrDecomposition(draw(columns))];
  const s = Array.from({ length: columns }, (_, i) => 1 / Math.sqrt(i + 1));
  return u.orthogonalMatrix.mulRowVector(s).mmul(v.orthogonalMatrix.transpose());
};
const restOf = (m: Matrix, { b, a }: Product): number => Matrix.sub(m, b.mmul(a)).norm('frobenius') ** 2;
const tail = (from: number, to: number): number =>
  Array.from({ length: to - from }, (_, i) => 1 / (from + i + 1)).reduce((x, y) => x + y, 0);

describe('truncatedSvd', () => {
  test.each([
    [24, 20, [1, 5, 12]],
    [300, 270, [5]],
  ])('of a matrix of %i × %i leaves out no more than must be', (rows, columns, ranks) => {
    const m = slow(rows, columns);
    for (const rank of ranks) {
      const got = truncatedSvd(m, { rank });
      expect([got.b.columns, got.a.rows]).toEqual([rank, rank]);
      expect(restOf(m, got) / tail(rank, columns)).toBeLessThan(1 + 1e-4);
      const across = m.transpose();
      if (rows < 100)
        expect(restOf(across, truncatedSvd(across, { rank })) / tail(rank, columns)).toBeLessThan(1 + 1e-4);
    }
    const { b } = truncatedSvd(m, { share: (tail(0, 7) + 0.01) / tail(0, columns) });
    expect(b.columns).toBe(8);
  });

  test('of a matrix of low rank leaves out nothing, however much more is asked for', () => {
    const random = randomSource(5);
    const draw = (rows: number, columns: number): Matrix =>
      Matrix.from1DArray(rows, columns, normalValues(rows * columns, 1, random));
    const m = draw(300, 5).mmul(draw(5, 270));
    for (const kept of [{ rank: 12 }, { rank: 3 }, { share: 1 - 1e-12 }]) {
      const { b, a } = truncatedSvd(m, kept);
      const left = Math.sqrt(restOf(m, { b, a })) / m.norm('frobenius');
      if ('rank' in kept && kept.rank < 5) expect(left).toBeGreaterThan(0.1);
      else expect(left).toBeLessThan(1e-6);
      const [u] = [
        b.divRowVector(
          b
            .transpose()
            .to2DArray()
            .map((column) => Math.hypot(...column) || 1),
        ),
      ];
      const gram = u
        .subMatrix(0, 299, 0, 2)
        .transpose()
        .mmul(u.subMatrix(0, 299, 0, 2));
      expect(Matrix.sub(gram, Matrix.eye(3)).norm('frobenius')).toBeLessThan(1e-8);
    }
  });

  test('of a product is that of the matrix', () => {
    const random = randomSource(3);
    const draw = (rows: number, columns: number): Matrix =>
      Matrix.from1DArray(rows, columns, normalValues(rows * columns, 1, random));
    for (const rank of [2, 9, 30]) {
      const product = { b: draw(20, rank), a: draw(rank, 16) };
      const m = product.b.mmul(product.a);
      const [got, wanted] = [productSvd(product, { rank: 5 }), truncatedSvd(m, { rank: 5 })];
      expect(Math.sqrt(Math.abs(restOf(m, got) - restOf(m, wanted)))).toBeLessThan(1e-6 * m.norm('frobenius'));
      expect(got.b.columns).toBe(Math.min(5, rank));
    }
  });
});

describe('combineTensors', () => {
  const random = randomSource(1);
  const all = { density: 1, majoritySign: 'total', random } as const;

  test('prunes by magnitude: the share of density, of equal ones the first', () => {
    const t = Float64Array.of(1, -3, 2, 2, -2, 0.5);
    const of = (density: number) => [...combineTensors('magnitude_prune', [t], [1], { ...all, density })];
    expect(of(0.5)).toEqual([0, -3, 2, 2, 0, 0]);
    expect(of(0.34)).toEqual([0, -3, 2, 0, 0, 0]);
    expect(of(0)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(of(1)).toEqual([...t]);
  });

  test('elects a sign by the sum or by the number', () => {
    const [a, b, c] = [Float64Array.of(3, -1), Float64Array.of(-1, 1), Float64Array.of(-1, 1)];
    const of = (majoritySign: 'total' | 'frequency') => [
      ...combineTensors('ties', [a, b, c], [1, 1, 4], { ...all, majoritySign }),
    ];
    expect(of('total')).toEqual([3, 2.5]);
    expect(of('frequency')).toEqual([-2.5, 2.5]);
  });

  test('drops at random and keeps the mean', () => {
    const ones = new Float64Array(40_000).fill(1);
    for (const density of [0.2, 0.7]) {
      const got = combineTensors('dare_linear', [ones], [1], { ...all, density });
      expect([...new Set(got)].sort()).toEqual([0, 1 / density]);
      const mean = got.reduce((x, y) => x + y) / got.length;
      const deviation = Math.sqrt((1 - density) / density / got.length);
      expect(Math.abs(mean - 1)).toBeLessThan(5 * deviation);
    }
  });
});

describe('mergeAdapters', () => {
  test('by cat is the sum, whatever the ranks; svd too where the rank suffices', async () => {
    const [one, two] = [
      await trained(lora({ rank: 2, alpha: 5 })),
      await trained(
        lora({ rank: 3, target: ['q_proj', 'down_proj'], rankPattern: { 'layers\\.1\\..*': 1 }, rsLora: true }),
      ),
    ];
    const [a, b] = [await deltaOf(one), await deltaOf(two)];
    for (const options of [{ how: 'cat' }, { how: 'svd', rank: 5 }] as const) {
      const { adapted, errors } = await mergeAdapters([one, two], { executor, weights: [2, -0.5], ...options });
      expect(
        distance(
          await deltaOf(adapted),
          a.map((v, i) => 2 * v - 0.5 * b[i]!),
        ),
      ).toBeLessThan(1e-5);
      expect(errors.size).toBe(6);
      for (const error of errors.values()) expect(error).toBeLessThan(1e-6);
      expect(adapted.params.get(`${path}.lora_A.weight`)!.shape).toEqual([5, 8]);
    }
    const kept = await mergeAdapters([one, two], { executor, weights: [2, -0.5] });
    expect(kept.adapted.params.get(`${path}.lora_A.weight`)!.shape).toEqual([3, 8]);
    const less = await mergeAdapters([one, two], { executor, weights: [2, -0.5], rank: 1 });
    const wanted = a.map((v, i) => 2 * v - 0.5 * b[i]!);
    const apart = (await deltaOf(less.adapted)).map((v, i) => v - wanted[i]!);
    expect(less.errors.get(path)).toBeCloseTo(Math.hypot(...apart) / Math.hypot(...wanted), 5);
    expect(less.errors.get(path)).toBeGreaterThan(0.05);
  });

  test('subtracts an adapter from itself to nothing', async () => {
    const one = await trained(lora({ rank: 2 }));
    const { adapted } = await mergeAdapters([one, one], { executor, weights: [1, -1], how: 'cat' });
    expect(distance(await logitsOf(adapted), await logitsOf({ model: base }))).toBeLessThan(1e-5);
  });

  test('makes adapters of unlike ranks fit one compiled program', async () => {
    const both = [await trained(lora({ rank: 2 })), await trained(lora({ rank: 4, alpha: 2 }))];
    const sized = await Promise.all(
      both.map((one) => mergeAdapters([one], { executor, weights: [1], how: 'cat', rank: 6 })),
    );
    const [first, second] = sized.map(({ adapted }) => adapted) as [Adapted, Adapted];
    const program = await compile({ outputs: { y: first.model.logits(ids) } }, { executor });
    expect(distance((await program.run())['y']!, await logitsOf(both[0]!))).toBeLessThan(1e-5);
    await hotSwap(first, second, { executor });
    expect(distance((await program.run())['y']!, await logitsOf(both[1]!))).toBeLessThan(1e-5);
  });

  test('draws the same for a seed, and other values for another', async () => {
    const one = await trained(lora({ rank: 2 }));
    const of = async (seed: number) =>
      deltaOf((await mergeAdapters([one], { executor, weights: [1], how: 'dare_linear', density: 0.5, seed })).adapted);
    expect(await of(1)).toEqual(await of(1));
    expect(distance(await of(1), await of(2))).toBeGreaterThan(1e-3);
  });

  test('refuses what has no sum, in words', async () => {
    const one = await trained(lora({ rank: 2 }));
    const merging = (adapters: readonly Adapted[], options: object) =>
      expect(mergeAdapters(adapters, { executor, weights: adapters.map(() => 1), ...options })).rejects;
    await merging([], {}).toThrow('mergeAdapters: there is no adapter');
    await merging([one], { weights: [1, 2] }).toThrow('there are 1 adapters and 2 weights; give one for each');
    await merging([one], { weights: [Number.NaN] }).toThrow('weights must be a list of finite numbers');
    await merging([one], { how: 'ties' }).toThrow('ties needs density');
    await merging([one], { how: 'dare_ties', density: 0 }).toThrow('divides by density');
    await merging([one], { how: 'linear', rank: 2 }).toThrow('linear keeps the rank that the adapters have');
    await merging([one], { how: 'cat', rank: 1 }).toThrow('rank 1 is below the sum of the ranks');
    await merging([one, attach(tinyLlama(), [lora()])], {}).toThrow('the adapters have unlike bases');
    await merging([one, await trained(lora({ rank: 3 }))], { how: 'linear' }).toThrow('are 2 and 3');
    await merging([one, await trained(loha())], {}).toThrow(/adapter 1 is loha; give a LoRA .* toLora/);
    await merging([await trained(lora({ bias: 'all' }))], {}).toThrow('adapter 0 is lora that trains more than layers');
  });
});

describe('toLora', () => {
  const methods: readonly (readonly [string, Method])[] = [
    ['lora on embeddings', lora({ rank: 2, target: ['q_proj', 'embed_tokens'] })],
    ['whole modules', lora({ rank: 2, modulesToSave: ['down_proj'] })],
    ...[
      adalora({ rank: 3, targetRank: 2 }),
      dora({ rank: 2 }),
      loha({ rank: 2 }),
      lokr({ rank: 2 }),
      vera({ rank: 4 }),
    ].map((m) => [m.name, m] as const),
    ...[
      hira({ rank: 2 }),
      hra({ rank: 2 }),
      miss({ rank: 2 }),
      oft({ blockSize: 4 }),
      gralora({ rank: 2, alpha: 2 }),
    ].map((m) => [m.name, m] as const),
  ];
  test.each(methods)('of %s does the same, and less by less rank', async (_, method) => {
    const adapted = await trained(method);
    const whole = await toLora(adapted, { executor, rank: 64 });
    expect(distance(await logitsOf(whole.adapted), await logitsOf(adapted))).toBeLessThan(1e-4);
    expect(Math.max(...whole.errors.values())).toBeLessThan(1e-5);
    const some = await toLora(adapted, { executor, share: 0.9 });
    for (const error of some.errors.values()) expect(error ** 2).toBeLessThan(0.1 + 1e-6);
    const one = await toLora(adapted, { executor, rank: 1 });
    for (const [at, { shape }] of one.adapted.params) if (at.endsWith('lora_A.weight')) expect(shape[0]).toBe(1);
    for (const [at, error] of one.errors) expect(error).toBeGreaterThanOrEqual(some.errors.get(at)! - 1e-6);
  });

  test('refuses what a LoRA cannot say', async () => {
    const of = (method: Method, options: object, model = base) =>
      expect(toLora(attach(model, [method]), { executor, ...options })).rejects;
    await of(lora({ bias: 'all' }), { rank: 2 }, tinyGpt2()).toThrow('toLora: lora also changes biases or norms');
    await of({ ...lora(), name: 'gates', merges: false }, { rank: 2 }).toThrow(
      'toLora: gates does more than change weights',
    );
    await of(lora(), {}).toThrow('give rank, or share above 0, and not both');
    await of(lora(), { rank: 2, share: 0.5 }).toThrow('give rank, or share above 0, and not both');
  });
});

describe('reduceIntruderDimension', () => {
  const options = { executor, topK: 6, threshold: 1 }; // each vector that ΔW turned at all is an intruder

  test('with λ = 1 changes nothing, and with less moves W + ΔW towards what is left of it', async () => {
    const adapted = await trained(lora({ target: ['q_proj', 'embed_tokens'], rank: 3 }));
    const before = await logitsOf(adapted);
    const same = await reduceIntruderDimension(adapted, { ...options, lambda: 1 });
    expect(distance(await logitsOf(same.adapted), before)).toBeLessThan(1e-5);
    const { adapted: less, intruders, errors } = await reduceIntruderDimension(adapted, { ...options, lambda: 0.2 });
    expect([...intruders.keys()]).toEqual([...errors.keys()]);
    expect(Math.min(...intruders.values())).toBeGreaterThan(0);
    expect(distance(await logitsOf(less), before)).toBeGreaterThan(1e-3);
  });

  test('where no vector is unlike the base keeps ΔW', async () => {
    const adapted = await trained(lora({ target: 'q_proj', rank: 2, alpha: 5 }));
    const { adapted: kept, intruders } = await reduceIntruderDimension(adapted, { executor, threshold: 0 });
    expect([...intruders.values()].every((n) => n === 0)).toBe(true);
    expect(distance(await deltaOf(kept), await deltaOf(adapted))).toBeLessThan(1e-6);
  });

  test('refuses what is no LoRA', async () => {
    const adapted = await trained(dora({ target: 'q_proj' }));
    await expect(reduceIntruderDimension(adapted, { executor })).rejects.toThrow(
      'reduceIntruderDimension: the adapter is dora',
    );
  });
});

describe('kappaTargets', () => {
  test('chooses by number, by share and by threshold, the lowest first', async () => {
    const { target: all, kappas } = await kappaTargets(base, { executor, share: 1 });
    const of = all.map((at) => kappas.get(at)!);
    expect(of).toEqual([...of].sort((one, other) => one - other));
    expect((await kappaTargets(base, { executor, count: 2 })).target).toEqual(all.slice(0, 2));
    expect((await kappaTargets(base, { executor, threshold: of[2]! })).target).toEqual(all.slice(0, 3));
    const among = await kappaTargets(base, { executor, among: 'q_proj' });
    expect(among.target).toEqual([all.find((at) => at.endsWith('q_proj'))]);
    await expect(kappaTargets(base, { executor, threshold: 1e-3 })).rejects.toThrow('give a greater one');
    await expect(kappaTargets(base, { executor, maxSide: 1 })).rejects.toThrow('give a greater maxSide');
    await expect(kappaTargets(base, { executor, count: 1, share: 1 })).rejects.toThrow('give one of');
  });
});
