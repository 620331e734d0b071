import { constant, div, mean, mul, stopGradient, sum, type Tensor } from '@peftjs/tensor';
import { type Loss, maskedLM, sequenceClassifier, type Task, tokenClassifier } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { describeTask, type TaskBatch, type TaskRow, taskLaws, tinyBert, tinyT5 } from '../src/index.ts';

const ids = Int32Array.of(3, 4, 5, 6, 7, 8, 9, 10, 2, 3, 5, 7);
const rows = 3;
const of = (labels: Int32Array | Float32Array, shape: readonly number[]): TaskBatch => ({
  rows,
  columns: { ids, labels },
  shapes: { ids: [rows, 4], labels: shape },
});

const logSoftmaxAt = (row: Float32Array, at: number): number =>
  row[at]! - Math.log(row.reduce((n, x) => n + Math.exp(x), 0));

/** Cross-entropy by plain loops, of every label. */
const crossEntropy = (outputs: Float32Array, { columns }: TaskBatch): number => {
  const labels = columns['labels']!;
  const classes = outputs.length / labels.length;
  const each = Array.from(labels, (label, i) => -logSoftmaxAt(outputs.subarray(i * classes, (i + 1) * classes), label));
  return each.reduce((a, b) => a + b) / each.length;
};

const perToken = Int32Array.of(0, 2, 1, 1, 2, 2, 0, 1, 0, 1, 2, 0);
const classes: TaskRow = {
  model: () => tinyBert({}, 0, sequenceClassifier({ labels: 3 })),
  batch: of(Int32Array.of(2, 0, 1), [rows]),
  mean: crossEntropy,
};

describeTask('sequenceClassifier', classes);
describeTask('sequenceClassifier of several labels', {
  model: () => tinyBert({}, 0, sequenceClassifier({ labels: 2, problem: 'multi-label' })),
  batch: of(Float32Array.of(1, 0, 1, 1, 0, 0), [rows, 2]),
  mean: (outputs, { columns }) =>
    outputs.reduce((n, z, i) => n + Math.log1p(Math.exp(z)) - z * columns['labels']![i]!, 0) / outputs.length,
});
describeTask('tokenClassifier', {
  model: () => tinyBert({}, 0, tokenClassifier({ labels: 3 })),
  batch: of(perToken, [rows, 4]),
  mean: crossEntropy,
});
describeTask('maskedLM', {
  model: () => tinyBert({}, 0, maskedLM()),
  batch: of(perToken, [rows, 4]),
  mean: crossEntropy,
});
describeTask('seq2seqLM', {
  model: () => tinyT5(),
  batch: {
    rows,
    columns: { ids, decoderIds: Int32Array.of(0, 3, 0, 5, 0, 9), labels: Int32Array.of(3, 1, 5, 1, 9, 1) },
    shapes: { ids: [rows, 4], decoderIds: [rows, 2], labels: [rows, 2] },
  },
  mean: crossEntropy,
});

const wrong = (change: (loss: Loss, logits: Tensor) => Loss): TaskRow => {
  const sound = sequenceClassifier({ labels: 3 });
  const task: Task<Tensor> = {
    ...sound,
    loss: (head, inputs) => change(sound.loss(head, inputs), head.layer.apply(head.features, head.call)),
  };
  return { ...classes, model: () => tinyBert({}, 0, task) };
};

const number = (value: number): Tensor => constant(Float32Array.of(value), []);
const splits = /rows one by one add up/;

const mutants: [mistake: string, row: TaskRow, law: RegExp, says: RegExp][] = [
  ['a mean instead of a sum', wrong((l) => ({ sum: div(l.sum, l.weight), weight: l.weight })), splits, /rows added up/],
  ['a weight of one', wrong((l) => ({ ...l, weight: number(1) })), splits, /rows added up/],
  [
    'a look at other rows',
    wrong((l, logits) => ({ ...l, sum: mul(l.sum, mean(mul(logits, logits))) })),
    splits,
    /rows added up/,
  ],
  [
    'a label that counts though it must not',
    wrong((l, logits) => ({ sum: l.sum, weight: number(logits.shape[0]!) })),
    /labels that do not count/,
    /a last row of labels -100/,
  ],
  [
    'a part without a gradient',
    wrong((l, logits) => ({ ...l, sum: sum(mul(stopGradient(logits), logits)) })),
    /gradients equal differences/,
    /along a random direction/,
  ],
  [
    'half of the loss',
    wrong((l) => ({ sum: mul(l.sum, 0.5), weight: l.weight })),
    /the mean is that of plain code/,
    /sum \/ weight/,
  ],
];

describe('the laws of a task', () => {
  test.each(mutants)('catch %s', async (_, row, law, says) => {
    const found = taskLaws(row).find(({ name }) => law.test(name));
    await expect(found?.check()).rejects.toThrow(says);
  });

  test('want rows that count', async () => {
    const row = { ...classes, batch: of(Int32Array.of(-100, -100, -100), [rows]) };
    await expect(taskLaws(row)[0]!.check()).rejects.toThrow(/the weight of the batch is 0/);
  });
});
