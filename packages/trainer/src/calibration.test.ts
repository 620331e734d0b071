import { attach, type Examples } from '@peftjs/core';
import { batch, fromArray, pipe, repeat } from '@peftjs/data';
import { laplaceLora, laplacePredict, lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { randomSource } from '@peftjs/tensor';
import { tinyBert } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { adamw, ece, nll, train } from './index.ts';

test('nll is the mean of −log p', () => {
  const rows = [
    [0.5, 0.5],
    [0.25, 0.75],
  ];
  expect(nll(rows, [0, 1])).toBeCloseTo((Math.log(2) - Math.log(0.75)) / 2, 12);
  expect(nll([[1, 0]], [1])).toBe(Number.POSITIVE_INFINITY);
});

test('ece is the gap between confidence and accuracy, bin by bin', () => {
  const rows = [
    [0.9, 0.1],
    [0.9, 0.1],
    [0.4, 0.6],
    [0.35, 0.65],
  ];
  // With ten bins: two rows of confidence 0.9 of which one is right, one of 0.6 that is wrong, one of 0.65 that is right.
  expect(ece(rows, [0, 1, 0, 1], { bins: 10 })).toBeCloseTo((0.8 + 0.6 + 0.35) / 4, 12);
  // With two bins all fall into the upper one.
  expect(ece(rows, [0, 1, 0, 1], { bins: 2 })).toBeCloseTo(Math.abs(2 - 3.05) / 4, 12);
  expect(ece([[1, 0]], [0])).toBe(0);
});

test('rows without a probability of the wanted class are refused', () => {
  expect(() => nll([[0.5, 0.5]], [2])).toThrow('row 0 must have a probability of each class');
  expect(() => ece([[2, -1]], [0])).toThrow('row 0 must have a probability of each class');
  expect(() => ece([], [])).toThrow('at least one');
  expect(() => ece([[1, 0]], [0], { bins: 0 })).toThrow('bins must be a whole number');
});

const [width, vocabulary, labels] = [6, 13, 3];

/** Rows of six tokens; the class is the third of the vocabulary that the first is of, but for one label of five, which is drawn. */
const drawn = (rows: number, seed: number): Examples => {
  const random = randomSource(seed);
  const ids = Int32Array.from({ length: rows * width }, () => 1 + Math.floor(random() * (vocabulary - 1)));
  const classes = Int32Array.from({ length: rows }, (_, i) => {
    const third = Math.floor((ids[i * width]! - 1) / 4);
    return random() < 0.2 ? Math.floor(random() * labels) : third;
  });
  return { rows, columns: { ids, labels: classes }, shapes: { ids: [rows, width], labels: [rows] } };
};

test('Laplace-LoRA makes a LoRA of few examples less sure of itself: NLL and ECE of further rows fall', async () => {
  const executor = await cpu({ threads: 1 });
  const [few, further] = [drawn(40, 1), drawn(200, 2)];
  const target = ['query', 'value', 'intermediate.dense'];
  const adapted = attach(tinyBert({ hiddenSize: 16, headDim: 8 }), [lora({ target, rank: 4, alpha: 8 })]);
  const rows = Array.from({ length: few.rows }, (_, i) => ({
    ids: few.columns['ids']!.slice(i * width, (i + 1) * width),
    labels: few.columns['labels']!.slice(i, i + 1),
  }));
  const data = pipe(fromArray(rows), repeat(), batch({ size: few.rows, shapes: { ids: [width], labels: [] } }));
  await train(adapted, { executor, data, steps: 100, schedule: () => 1e-2, optimizer: adamw({ weightDecay: 0 }) });
  const posterior = await laplaceLora(adapted, { executor, data: [few] });
  const wanted = [...further.columns['labels']!];
  const measured = async (more: object): Promise<{ nll: number; ece: number }> => {
    const found = await laplacePredict(adapted, posterior, { executor, data: [further], ...more });
    const probabilities = found.map((row) => row.probabilities);
    return { nll: nll(probabilities, wanted), ece: ece(probabilities, wanted) };
  };
  const before = await measured({ priorPrecision: 1e12 }); // no doubt is left: the softmax of the trained logits
  const [probit, samples] = [await measured({}), await measured({ samples: 100 })];
  executor.close();
  for (const after of [probit, samples]) {
    expect(after.nll).toBeLessThan(0.7 * before.nll);
    expect(after.ece).toBeLessThan(0.7 * before.ece);
  }
});
