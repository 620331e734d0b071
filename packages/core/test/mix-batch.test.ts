import { compile, constant, evaluate, input, reference, type Tensor } from '@peftjs/tensor';
import { type CausalLM, generate, meanOf } from '@peftjs/transformer';
import { distance, shake, tinyGpt2, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { type Adapted, attach, type Method, mixBatch } from '../src/index.ts';
import { prefix, prompt, scale, shift } from './toys.ts';

const rows = [
  [1, 5, 2, 9],
  [3, 3, 12, 0],
  [7, 1, 1, 4],
  [2, 6, 8, 3],
];
const labelRows = [
  [5, 2, 9, 1],
  [3, 12, 0, -100],
  [-100, -100, 4, 2],
  [6, 8, 3, 3],
];
const ids = tokens(...rows);
const labels = tokens(...labelRows);
const chosen = [1, null, 0, 1];

const models = [
  ['llama', () => tinyLlama(), 'q_proj'],
  ['gpt2', () => tinyGpt2(), 'c_attn'],
] as const;

const methods: readonly (readonly [string, (target: string) => readonly [Method, Method]])[] = [
  ['a change of layers', (target) => [scale({ target }), scale({ target: 'lm_head' })]],
  ['a change of the residual stream', () => [shift(), shift()]],
  ['rows in front of the tokens', () => [prompt(), prompt()]],
  ['keys in front, which move positions', () => [prefix(), prefix()]],
  ['different methods', (target) => [prefix(), scale({ target })]],
];

describe.each(models)('a mixed batch on %s', (_, make, target) => {
  describe.each(methods)('of %s', (_name, pair) => {
    const opened = async () => {
      const r = reference();
      const base = make();
      const adapters = pair(target).map((method, seed) => attach(base, [method], { seed }));
      for (const { state } of adapters) await shake(state, { executor: r });
      const mixed = mixBatch(adapters, rows.length);
      const viewOf = (row: number): CausalLM => {
        const i = chosen[row]!;
        return i === null ? base : adapters[i]!.model;
      };
      return { r, base, adapters, mixed, viewOf };
    };

    test('gives each row what its adapter alone gives, in a program that is compiled once', async () => {
      const { r, base, mixed, viewOf } = await opened();
      const program = await compile(
        {
          outputs: {
            y: mixed.model.logits(input('ids', [4, 4], 'i32')),
            loss: meanOf(mixed.model.loss({ ids, labels })),
          },
        },
        { executor: r },
      );
      const feeds = { ids: Int32Array.from(rows.flat()) };
      const wanted: number[] = [];
      const plain: number[] = [];
      let [total, count] = [0, 0];
      for (const [row, own] of rows.entries()) {
        const one = { y: viewOf(row).logits(tokens(own)), b: base.logits(tokens(own)) };
        const loss = meanOf(viewOf(row).loss({ ids: tokens(own), labels: tokens(labelRows[row]!) }));
        const found = await evaluate({ ...one, loss }, { executor: r });
        wanted.push(...found['y']!);
        plain.push(...found['b']!);
        const counted = labelRows[row]!.filter((label) => label >= 0).length;
        total += found['loss']![0]! * counted;
        count += counted;
      }
      const before = await program.run(feeds);
      expect(distance(before['y']!, plain)).toBeLessThan(1e-5);
      await mixed.assign(chosen, { executor: r });
      const { y, loss } = await program.run(feeds);
      expect(distance(y!, wanted)).toBeLessThan(1e-5);
      expect(distance(y!, plain)).toBeGreaterThan(0.01);
      expect(loss![0]).toBeCloseTo(total / count, 5);
    });

    test('continues each prompt as its adapter alone does, prompts of different lengths too', async () => {
      const { r, mixed, viewOf } = await opened();
      await mixed.assign(chosen, { executor: r });
      const prompts = rows.map((row, i) => row.slice(0, 1 + (i % 3)));
      const options = { executor: r, maxTokens: 4, stop: [] };
      const together = await generate(mixed.model, { ...options, prompt: prompts });
      for (const [row, prompt] of prompts.entries())
        expect(together[row], `row ${row}`).toEqual(await generate(viewOf(row), { ...options, prompt }));
    });
  });
});

test('padding, given positions and rows in front go together', async () => {
  const r = reference();
  const base = tinyGpt2();
  const adapted = attach(base, [prefix()]);
  await shake(adapted.state, { executor: r });
  const mixed = mixBatch([adapted], 2);
  await mixed.assign([null, 0], { executor: r });
  const options = {
    mask: constant(Float32Array.of(0, 1, 1, 1, 1, 1), [2, 3]),
    positions: constant(Int32Array.of(0, 0, 1, 0, 1, 2), [2, 3]),
  };
  const { y } = await evaluate({ y: mixed.model.logits(tokens([0, 5, 2], [3, 3, 12]), options) }, { executor: r });
  const alone = async (model: CausalLM, of: Tensor): Promise<number[]> => [
    ...(await evaluate({ y: model.logits(of) }, { executor: r }))['y']!,
  ];
  const vocabulary = base.config.vocabSize;
  expect(distance(y!.subarray(vocabulary, 3 * vocabulary), await alone(base, tokens([5, 2])))).toBeLessThan(1e-5);
  expect(distance(y!.subarray(3 * vocabulary), await alone(adapted.model, tokens([3, 3, 12])))).toBeLessThan(1e-5);
});

test('says what cannot be mixed', async () => {
  const base = tinyLlama();
  const one = attach(base, [scale()]);
  const mix = (adapters: readonly Adapted[], count = 2) => mixBatch(adapters, count);
  expect(() => mix([])).toThrow('mixBatch: at least one adapter is needed');
  expect(() => mix([one, attach(tinyLlama(), [scale()])], 0)).toThrow(
    'mixBatch: all adapters must be attached to the same base; rows must be a whole number of at least 1, got 0',
  );
  await expect(mix([one]).assign([0, 1], { executor: reference() })).rejects.toThrow(
    'mixBatch: 2 entries from 0 to 0 or null are needed, got [0, 1]',
  );
  expect(() => mix([one]).model.logits(tokens([1, 2, 3]))).toThrow('this view takes batches of 2 sequences');
  expect(() => mix([one]).model.linears.get('model.layers.0.self_attn.q_proj')!.dense()).toThrow(
    'mixBatch: model.layers.0.self_attn.q_proj is another layer in each row',
  );
});
