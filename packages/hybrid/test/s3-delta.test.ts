import { bottleneckAdapter } from '@peftjs/adapters';
import { attach, type Examples, load, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { bitfit, layerNormTuning } from '@peftjs/selective';
import { evaluate, normalValues, randomSource, reference, sizeOf } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import { s3Delta, s3DeltaCandidates } from '../src/index.ts';
import { alphaGradient, drawnGates, fitting, probabilities } from '../src/s3-delta/gates.ts';

const executor = reference();
const base = tinyLlama();
const numbers = (...values: number[]): Float64Array => Float64Array.from(values);

describe('gates', () => {
  const terms = { alphas: numbers(0.3, -1, 2, 0), sizes: numbers(5, 20, 8, 1), most: 12, beta: 0.7 };

  test('are open as often as the budget allows', () => {
    const p = probabilities(terms);
    expect(p.reduce((sum, v, i) => sum + v * terms.sizes[i]!, 0)).toBeCloseTo(12, 6);
    expect([...p.keys()].sort((a, b) => p[b]! - p[a]!)).toEqual([2, 0, 3, 1]);
  });

  test('pass on the gradient that finite differences have, candidates competing for a sum', () => {
    const p = probabilities(terms);
    const uniform = numbers(0.2, 0.7, 0.5, 0.9);
    const weights = numbers(1, -2, 0.5, 3);
    const total = p.reduce((a, b) => a + b, 0);
    const logits = p.map((v) => Math.log(v / (1 - v)) * terms.beta);
    const loss = (at: Float64Array): number => {
      const own = at.map((v) => 1 / (1 + Math.exp(-v / terms.beta)));
      const sum = own.reduce((a, b) => a + b, 0);
      return drawnGates(
        own.map((v) => (v / sum) * total),
        uniform,
      ).reduce((n, z, i) => n + weights[i]! * z, 0);
    };
    const gradient = alphaGradient(weights, drawnGates(p, uniform), p, terms.beta);
    const step = 1e-5;
    const differences = logits.map((_, i) => {
      const at = (by: number): number => loss(logits.map((v, j) => (i === j ? v + by : v)));
      return (at(step) - at(-step)) / (2 * step);
    });
    expect(distance(gradient, differences)).toBeLessThan(1e-6);
  });

  test('that are likeliest make the structure, each where there is room', () => {
    expect(fitting(numbers(0.9, 0.8, 0.7, 0.1), numbers(5, 9, 4, 1), 10)).toEqual([0, 2, 3]);
  });
});

const path = 'model.layers.1.mlp.down_proj';

/** Texts and the tokens that the base with another bias at one place holds for likeliest. */
const examples = async (count: number): Promise<Examples[]> => {
  const teacher = attach(base, [bitfit({ target: [path], norms: [] })]);
  const bias = teacher.params.get(`${path}.bias`)!;
  await executor.write(bias, normalValues(sizeOf(bias.shape), 2, randomSource(1, 'teacher')));
  return Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const random = randomSource(n, 'texts');
      const ids = Int32Array.from({ length: 4 * 8 }, () => Math.floor(random() * base.config.vocabSize));
      const rows = [0, 1, 2, 3].map((i) => [...ids.subarray(8 * i, 8 * i + 8)]);
      const { y } = await evaluate({ y: teacher.model.logits(tokens(...rows)) }, { executor });
      const labels = Int32Array.from(ids, (__, i) => {
        const own = [...y!.subarray(i * base.config.vocabSize, (i + 1) * base.config.vocabSize)];
        return own.indexOf(Math.max(...own));
      });
      return { rows: 4, columns: { ids, labels }, shapes: { ids: [4, 8], labels: [4, 8] } };
    }),
  );
};

test('S3Delta finds the place that a teacher was changed at, within its budget, and the structure loads', async () => {
  const candidates = {
    right: { method: bitfit({ target: [path], norms: [] }) },
    early: { method: bitfit({ target: ['model.layers.0.self_attn.q_proj'], norms: [] }) },
    low: { method: lora({ rank: 1, target: ['model.layers.0.self_attn.v_proj'] }) },
    norm: { method: layerNormTuning({ target: ['model.layers.0.input_layernorm'] }) },
  };
  const batches = await examples(4);
  const losses: number[] = [];
  const right = attach(base, [candidates.right.method]).params.get(`${path}.bias`)!;
  const most = sizeOf(right.shape) + 1;
  const found = await s3Delta(base, {
    most,
    train: batches.slice(0, 2),
    validation: batches.slice(2),
    steps: 16,
    candidates,
    learningRate: 0.1,
    executor,
    onStep: ({ loss }) => losses.push(loss),
  });
  expect(losses).toHaveLength(16);
  expect(losses.at(-1)!).toBeLessThan(losses[0]!);
  expect(found.candidates[0]).toMatchObject({ name: 'right', chosen: true });
  expect(found.parameters).toBeLessThanOrEqual(most);
  const adapted = attach(base, [found.method]);
  expect([...adapted.params.values()].reduce((n, v) => n + sizeOf(v.shape), 0)).toBe(found.parameters);
  await shake(adapted.params, { executor });
  const files = memoryFiles();
  await save(adapted, files, { executor });
  const loaded = await load(base, files, [lora, bitfit, layerNormTuning, bottleneckAdapter]);
  const logits = async ({ model }: Pick<typeof adapted, 'model'>): Promise<Float32Array> =>
    (await evaluate({ y: model.logits(tokens([1, 5, 2, 9])) }, { executor }))['y'] as Float32Array;
  expect(distance(await logits(loaded), await logits(adapted))).toBeLessThan(1e-6);
});

test('its candidates are those of S3Delta-M, and a budget must leave a choice', async () => {
  const names = Object.keys(s3DeltaCandidates(base));
  const kinds = names.map((name) => name.split('-')[0]);
  expect(kinds.filter((kind) => kind === 'lora')).toHaveLength(14);
  expect(kinds.filter((kind) => kind === 'bias')).toHaveLength(14);
  expect(kinds.filter((kind) => kind === 'norm')).toHaveLength(5);
  expect(kinds.filter((kind) => kind === 'adapter')).toHaveLength(4);
  const [batch] = await examples(1);
  const options = { train: [batch!], validation: [batch!], steps: 1, executor };
  await expect(s3Delta(base, { ...options, most: 1 })).rejects.toThrow('give a number between');
  await expect(s3Delta(base, { ...options, most: 1e9 })).rejects.toThrow('give a number between');
  const found = await s3Delta(base, { ...options, most: 300 });
  expect(found.parameters).toBeGreaterThan(150);
  expect(found.parameters).toBeLessThanOrEqual(300);
});
