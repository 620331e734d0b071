import { grad } from '@peftjs/autograd';
import { memoryFiles, readAdapter } from '@peftjs/io';
import { constant, type Executor, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { type CausalLM, generate, type Inputs, meanOf } from '@peftjs/transformer';
import { distance, shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import {
  type Adapted,
  apart,
  attach,
  average,
  type BlockParts,
  batchSplit,
  combine,
  frozen,
  fuse,
  inParallel,
  load,
  type Method,
  merge,
  multiTask,
  parallel,
  save,
  snapshot,
  split,
  stack,
} from '../src/index.ts';
import { prefix, prompt, scale, shift } from './toys.ts';

const rows = [
  [1, 5, 2, 9],
  [3, 3, 12, 0],
  [7, 1, 1, 4],
  [2, 6, 8, 3],
];
const ids = tokens(...rows);
const vocabulary = tinyLlama().config.vocabSize;

const valuesOf = async (y: Tensor, executor: Executor): Promise<number[]> => [
  ...((await evaluate({ y }, { executor }))['y'] as Float32Array),
];

/** A block on a tiny Llama with random values, and each of its parts alone with the same. */
const opened = async (block: Method, parts: BlockParts) => {
  const r = reference();
  const base = tinyLlama();
  const whole = attach(base, [block]);
  await shake(whole.state, { executor: r });
  const alone: Adapted[] = [];
  for (const [name, method] of Object.entries(parts)) {
    const one = attach(base, [method]);
    for (const [key, v] of one.state) await r.write(v, await r.read(whole.state.get(`${name}.${key}`)!));
    alone.push(one);
  }
  return { r, base, whole, alone };
};

const pairs: readonly (readonly [string, () => BlockParts])[] = [
  ['changes of layers', () => ({ a: scale(), b: scale({ target: 'o_proj' }) })],
  ['changes of the stream', () => ({ a: shift(), b: shift() })],
  ['rows in front of the tokens', () => ({ a: prompt(), b: prompt() })],
  ['keys in front, which move positions', () => ({ a: prefix(), b: prefix() })],
  ['blocks', () => ({ a: stack({ x: scale(), y: shift() }), b: average({ x: shift(), y: scale() }) })],
];

/** Which part each row has, by the way of saying it. */
const byRows: readonly (readonly [string, (parts: BlockParts) => Method, readonly number[], Inputs])[] = [
  ['batchSplit', (parts) => batchSplit(parts, { sizes: [1, 3] }), [0, 1, 1, 1], {}],
  ['parallel', (parts) => parallel(parts), [0, 0, 1, 1], {}],
  ['multiTask', (parts) => multiTask(parts), [1, 0, 0, 1], { task: constant(Int32Array.of(1, 0, 0, 1), [4]) }],
];

describe.each(byRows)('%s', (name, make, chosen, inputs) => {
  test.each(pairs)('gives each row what its part alone gives: %s', async (_, parts) => {
    const { r, base, whole, alone } = await opened(make(parts()), parts());
    const logits = async (model: CausalLM, of: Tensor, more: Inputs): Promise<number[]> =>
      valuesOf(model.outputs({ ids: of, ...more }), r);
    const own = await logits(whole.model, ids, inputs);
    const wanted: number[] = [];
    for (const [i, row] of rows.entries()) wanted.push(...(await logits(alone[chosen[i]!]!.model, tokens(row), {})));
    expect(distance(own, wanted)).toBeLessThan(1e-5);
    expect(distance(own, await logits(base, ids, {}))).toBeGreaterThan(0.01);
    if (name === 'multiTask') expect(whole.columns).toEqual({ task: { shape: [], dtype: 'i32', below: 2 } });
  });
});

test('a split batch generates as its parts alone do', async () => {
  const parts = (): BlockParts => ({ a: prefix(), b: prefix() });
  const { r, whole, alone } = await opened(batchSplit(parts(), { sizes: [2, 2] }), parts());
  const options = { executor: r, maxTokens: 4, stop: [] };
  const prompts = rows.map((row, i) => row.slice(0, 1 + (i % 3)));
  const together = await generate(whole.model, { ...options, prompt: prompts });
  for (const [i, prompt] of prompts.entries())
    expect(together[i]).toEqual(await generate(alone[i < 2 ? 0 : 1]!.model, { ...options, prompt }));
});

test('parallel: the same rows for each part, and outputs by name', async () => {
  const parts = (): BlockParts => ({ first: shift(), second: scale() });
  const { r, whole, alone } = await opened(parallel(parts()), parts());
  const y = apart(whole.model.logits(inParallel({ ids }, 2)['ids']!), ['first', 'second']);
  for (const [i, name] of (['first', 'second'] as const).entries())
    expect(distance(await valuesOf(y[name], r), await valuesOf(alone[i]!.model.logits(ids), r))).toBeLessThan(1e-5);
});

test('average: the weighted outputs of its parts, of one layer its values too', async () => {
  const parts = (): BlockParts => ({ a: scale({ target: 'lm_head' }), b: scale({ target: 'lm_head' }) });
  const { r, base, whole, alone } = await opened(average(parts(), { weights: [1, 3] }), parts());
  const [y, a, b, plain] = await Promise.all(
    [whole, ...alone, { model: base }].map(({ model }) => valuesOf(model.logits(ids), r)),
  );
  expect(
    distance(
      y!,
      a!.map((v, i) => 0.25 * v + 0.75 * b![i]!),
    ),
  ).toBeLessThan(1e-5);
  const { model } = await merge(whole, { executor: r });
  expect(distance(await valuesOf(model.logits(ids), r), y!)).toBeLessThan(1e-5);
  const sum = await opened(average(parts(), { weights: [2, -1], normalize: false, base: 0.5 }), parts());
  const [c, d] = await Promise.all(sum.alone.map(({ model: m }) => valuesOf(m.logits(ids), sum.r)));
  const wanted = c!.map((v, i) => 2 * v - d![i]! + 0.5 * plain![i]!);
  expect(distance(await valuesOf(sum.whole.model.logits(ids), sum.r), wanted)).toBeLessThan(1e-5);
});

test.each([
  ['rows', prompt],
  ['keys', prefix],
] as const)('average of %s in front is the one of averaged values', async (_, make) => {
  const { r, base, whole, alone } = await opened(average({ a: make(), b: make() }), { a: make(), b: make() });
  const one = attach(base, [make()]);
  for (const [name, v] of one.state) {
    const [a, b] = (await Promise.all(alone.map(({ state }) => r.read(state.get(name)!)))) as [
      Float32Array,
      Float32Array,
    ];
    await r.write(
      v,
      a.map((x, i) => (x + b[i]!) / 2),
    );
  }
  expect(distance(await valuesOf(whole.model.logits(ids), r), await valuesOf(one.model.logits(ids), r))).toBeLessThan(
    1e-5,
  );
});

test('split: each token has the part of its position', async () => {
  const parts = (): BlockParts => ({ a: scale({ target: 'lm_head' }), b: scale({ target: 'lm_head' }) });
  const { r, whole, alone } = await opened(split(parts(), { lengths: [3, 1] }), parts());
  const [y, a, b] = await Promise.all([whole, ...alone].map(({ model }) => valuesOf(model.logits(ids), r)));
  const wanted = a!.map((v, i) => (Math.floor(i / vocabulary) % 4 < 3 ? v : b![i]!));
  expect(distance(y!, wanted)).toBeLessThan(1e-6);
  const labels = tokens(...rows.map((row) => [...row.slice(1), 0]));
  const loss = async ({ model }: Adapted): Promise<number> =>
    (await valuesOf(meanOf(model.loss({ ids, labels })), r))[0]!;
  const picked = wanted.map(Math.exp);
  let sum = 0;
  for (let i = 0; i < 16; i++) {
    const own = picked.slice(i * vocabulary, (i + 1) * vocabulary);
    sum -= Math.log(own[[...rows.flatMap((row) => [...row.slice(1), 0])][i]!]! / own.reduce((x, z) => x + z, 0));
  }
  expect(await loss(whole)).toBeCloseTo(sum / 16, 4);
});

test('fuse: attention over what its parts add; the mean where nothing tells them apart', async () => {
  const parts = (): BlockParts => ({ a: scale({ target: 'lm_head' }), b: scale({ target: 'lm_head' }) });
  for (const values of [true, false]) {
    const { r, whole, alone } = await opened(fuse(parts(), { values }), parts());
    const own = [...whole.state].filter(([name]) => name.startsWith('fusion.lm_head.'));
    expect(own).toHaveLength(values ? 5 : 4);
    for (const [name, v] of own) {
      const zero = new Float32Array(v.shape.reduce((n, d) => n * d, 1));
      const identity = zero.map((_, i) => (i % (vocabulary + 1) === 0 ? 2 : 0));
      await r.write(v, name.endsWith('value.weight') ? identity : zero);
    }
    const [y, a, b, plain] = await Promise.all(
      [whole, ...alone, { model: whole.base }].map(({ model }) => valuesOf(model.logits(ids), r)),
    );
    const factor = values ? 2 : 1;
    const wanted = plain!.map((v, i) => v + factor * ((a![i]! + b![i]!) / 2 - v));
    expect(distance(y!, wanted)).toBeLessThan(1e-4);
  }
});

test('blocks in blocks number the rows and tokens that are theirs', async () => {
  const lm = (): Method => scale({ target: 'lm_head' });
  const rowwise = (): Method =>
    batchSplit({ a: lm(), b: parallel({ c: lm(), d: batchSplit({ e: lm() }, { sizes: [1] }) }) }, { sizes: [2, 2] });
  const tokenwise = (): Method =>
    split(
      { a: lm(), b: split({ c: lm(), d: split({ e: lm() }, { lengths: [1] }) }, { lengths: [1, 1] }) },
      { lengths: [2, 2] },
    );
  for (const [method, partOf] of [
    [rowwise(), (i: number) => Math.floor(i / 4)],
    [tokenwise(), (i: number) => i % 4],
  ] as const) {
    const r = reference();
    const base = tinyLlama();
    const { model, params } = attach(base, [method]);
    for (const [name, v] of params)
      await r.write(v, Float32Array.of(name.startsWith('a.') ? 2 : name.startsWith('b.c.') ? 3 : 5));
    const plain = await valuesOf(base.logits(ids), r);
    const wanted = plain.map((v, i) => v * [2, 2, 3, 5][partOf(Math.floor(i / vocabulary))]!);
    expect(distance(await valuesOf(model.logits(ids), r), wanted)).toBeLessThan(1e-5);
  }
});

const nested = (): readonly Method[] => [
  stack({ a: scale(), b: average({ c: shift(), d: scale({ target: 'o_proj' }) }, { weights: [1, 2] }) }),
  fuse({ a: stack({ x: shift(), y: scale() }), b: shift() }),
  split({ a: shift(), b: split({ c: scale(), d: shift() }, { lengths: [1, 1] }) }, { lengths: [2, 2] }),
  batchSplit({ a: prompt(), b: prompt() }, { sizes: [3, 1] }),
  parallel({ a: combine([shift(), scale()]), b: prefix(), c: prefix() }),
  multiTask({ a: shift(), b: average({ c: scale(), d: shift() }) }),
  batchSplit(
    { a: parallel({ c: scale(), d: shift() }), b: batchSplit({ e: scale(), f: shift() }, { sizes: [1, 1] }) },
    { sizes: [2, 2] },
  ),
];

test.each(nested().map((method, i) => [method.name, i] as const))(
  '%s: a gradient reaches every parameter; saved and loaded to the bit',
  async (name, i) => {
    const method = nested()[i]!;
    const r = reference();
    const base = tinyLlama();
    if (name.startsWith('parallel')) {
      expect(() => attach(base, [method])).toThrow('parallel: the parts move positions by 0, ');
      return;
    }
    const adapted = attach(base, [method]);
    await shake(adapted.state, { executor: r });
    const task = constant(Int32Array.of(0, 1, 0, 1), [4]);
    const labels = tokens(...rows.map((row) => [...row.slice(1), 0]));
    const loss = meanOf(adapted.loss({ ids, labels, task }, constant(Uint32Array.of(1), [])));
    const params = [...adapted.params];
    const gradients = grad(
      loss,
      params.map(([, v]) => v),
    );
    const found = await evaluate(Object.fromEntries(params.map(([key], k) => [key, gradients[k]!])), { executor: r });
    for (const [key] of params)
      expect(
        found[key]!.some((v) => v !== 0),
        key,
      ).toBe(true);
    const files = memoryFiles();
    await save(adapted, files, { executor: r });
    const again = await load(base, files, [scale, shift, prompt, prefix]);
    expect([...again.state.keys()]).toEqual([...adapted.state.keys()]);
    const logits = (of: Adapted): Promise<number[]> => valuesOf(of.model.outputs({ ids, task }), r);
    expect(await logits(again)).toEqual(await logits(adapted));
    const twice = memoryFiles();
    await save(again, twice, { executor: r });
    expect((await readAdapter(twice)).config.raw).toEqual((await readAdapter(files)).config.raw);
  },
);

test('a frozen part stands still beside a trained one, in files too', async () => {
  const r = reference();
  const base = tinyLlama();
  const trained = attach(base, [scale()]);
  await shake(trained.state, { executor: r });
  const adapted = attach(base, [stack({ old: frozen(await snapshot(trained, { executor: r })), own: shift() })]);
  expect([...adapted.params.keys()]).toEqual(['own.w']);
  for (const [name, v] of trained.state)
    expect(await r.read(adapted.state.get(`old.${name}`)!), name).toEqual(await r.read(v));
  const files = memoryFiles();
  await save(adapted, files, { executor: r });
  const again = await load(base, files, [scale, shift]);
  expect([...again.params.keys()]).toEqual(['own.w']);
  expect(await valuesOf(again.model.logits(ids), r)).toEqual(await valuesOf(adapted.model.logits(ids), r));
});

test('says what cannot be', async () => {
  const base = tinyLlama();
  const both = { a: shift(), b: shift() };
  expect(() => stack({})).toThrow('stack: there are no parts');
  expect(() => average({ 'a.b': shift() })).toThrow('average: "a.b" is no name of a part');
  expect(() => average(both, { weights: [1] })).toThrow('there are 2 parts and 1 weights; give one for each');
  expect(() => average(both, { weights: [1, -1] })).toThrow('the weights sum to 0');
  expect(() => split(both, { lengths: [1, 0] })).toThrow('split: lengths must be whole numbers of at least 1');
  expect(() => fuse({ a: shift() })).toThrow('attention over parts takes two or more of them');
  expect(() => stack(both, { layout: 'adapter-hub' })).toThrow('stack: a has no files in the layout adapter-hub');
  const logits = (method: Method, of = ids): Tensor => attach(base, [method]).model.logits(of);
  expect(() => logits(batchSplit(both, { sizes: [1, 1] }))).toThrow('this view takes batches of 2 sequences');
  expect(() => logits(parallel(both), tokens([1, 2]))).toThrow('there are 1 rows, which 2 parts cannot share');
  expect(() => logits(multiTask(both))).toThrow(
    'the inputs have no column task; give each row the number of its part: 0 a, 1 b',
  );
  expect(() => logits(split(both, { lengths: [1, 1] }))).toThrow(
    'not rows for the 2 tokens that the lengths 1, 1 sum to',
  );
  expect(() => attach(base, [split({ a: prefix(), b: prefix() }, { lengths: [2, 2] })])).toThrow(
    'at kv, whose rows are no tokens',
  );
  expect(() => logits(parallel({ a: prompt(), b: shift() }))).toThrow(
    'all must put as many rows in front of a sequence, or none',
  );
  const inner = (sizes: number[]): Method =>
    batchSplit({ a: batchSplit(both, { sizes }), b: shift() }, { sizes: [2, 2] });
  expect(() => logits(inner([1, 2]))).toThrow('batchSplit: there are 2 rows, the sizes 1, 2 sum to 3');
  expect(() => logits(multiTask({ a: batchSplit(both, { sizes: [2, 2] }) }))).toThrow('it stands in a multiTask');
  const files = memoryFiles();
  const r = reference();
  await save(attach(base, [stack(both)]), files, { executor: r });
  await expect(load(base, files, [scale])).rejects.toThrow('load was given: scale (SCALE)');
});
