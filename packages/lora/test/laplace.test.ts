import { attach, type Examples, type Method } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { distance, shake, tinyBert, tinyLlama } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { dora, laplaceEvidence, laplaceLora, laplacePredict, lora, loraPlus } from '../src/index.ts';

const executor = reference();
const classes = [2, 5, 9];
const target = ['q_proj', 'down_proj'];

const shaken = async (model: TaskModel, method: Method) => {
  const adapted = attach(model, [method]);
  await shake(adapted.params, { executor });
  return adapted;
};

/** Rows of a decoder, padded on the left, and the token of each answer. */
const asked = (rows: readonly (readonly number[])[], answers: readonly number[], padding = 0): Examples => {
  const width = rows[0]!.length + padding;
  const padded = (row: readonly number[], by: number): number[] => [...new Array<number>(padding).fill(by), ...row];
  const labels = new Int32Array(rows.length * width).fill(-100);
  for (const [i, answer] of answers.entries()) labels[(i + 1) * width - 1] = answer;
  const columns = {
    ids: Int32Array.from(rows.flatMap((row) => padded(row, 4))),
    mask: Float32Array.from(
      rows.flatMap((row) =>
        padded(
          row.map(() => 1),
          0,
        ),
      ),
    ),
    labels,
  };
  const shape = [rows.length, width];
  return { rows: rows.length, columns, shapes: { ids: shape, mask: shape, labels: shape } };
};

const rows = [
  [1, 5, 2],
  [3, 3, 7],
  [8, 1, 6],
];

test('a posterior is of the tokens that padding leaves, however they come in batches', async () => {
  const adapted = await shaken(tinyLlama(), lora({ target, rank: 2 }));
  const look = { executor, classes };
  const [one, other] = [
    await laplaceLora(adapted, { ...look, data: [asked(rows, [5, 2, 9])] }),
    await laplaceLora(adapted, { ...look, data: [asked(rows.slice(0, 1), [5], 2), asked(rows.slice(1), [2, 9])] }),
  ];
  expect(other.logEvidence).toBeCloseTo(one.logEvidence, 4);
  expect(other.priorPrecision / one.priorPrecision).toBeCloseTo(1, 4);
  const further = [[4, 6, 1]];
  const found = await laplacePredict(adapted, one, { executor, data: [asked(further, [])] });
  const padded = await laplacePredict(adapted, other, { executor, data: [asked(further, [], 3)] });
  expect(distance(found[0]!.probabilities, padded[0]!.probabilities)).toBeLessThan(1e-4);
  expect(found[0]!.covariance[0]![0]).toBeGreaterThan(1e-2);
});

test('the prior found has the largest evidence', async () => {
  const adapted = await shaken(tinyLlama(), loraPlus({ target, rank: 2 }));
  const posterior = await laplaceLora(adapted, { executor, classes, data: [asked(rows, [5, 2, 9])] });
  const at = (factor: number): number => laplaceEvidence(posterior, posterior.priorPrecision * factor);
  expect(at(1)).toBe(posterior.logEvidence);
  for (const factor of [0.2, 0.9, 1.1, 5]) expect(at(factor)).toBeLessThan(at(1));
  expect(posterior.effectiveParameters).toBeCloseTo(posterior.priorPrecision * posterior.squaredNorm, 6);
});

test('samples are of the distribution of the logits: alike where the prior leaves no doubt, else less sure than the mean', async () => {
  const adapted = await shaken(tinyLlama(), lora({ target, rank: 2 }));
  const posterior = await laplaceLora(adapted, { executor, classes, data: [asked(rows, [5, 2, 9])] });
  const look = { executor, data: [asked(rows, [])], samples: 4000, seed: 3 };
  const softmax = (mean: readonly number[]): number[] => {
    const e = mean.map(Math.exp);
    return e.map((v) => v / e.reduce((a, b) => a + b));
  };
  const sure = await laplacePredict(adapted, posterior, { ...look, priorPrecision: 1e9 });
  for (const { mean, probabilities } of sure) expect(distance(probabilities, softmax(mean))).toBeLessThan(1e-3);
  const [sampled, again] = [
    await laplacePredict(adapted, posterior, look),
    await laplacePredict(adapted, posterior, look),
  ];
  expect(again).toEqual(sampled);
  const probits = await laplacePredict(adapted, posterior, { executor, data: look.data });
  const surest = (all: readonly (readonly number[])[]): number =>
    all.reduce((sum, row) => sum + Math.max(...row), 0) / all.length;
  expect(surest(sampled.map((row) => row.probabilities))).toBeLessThan(
    surest(sampled.map(({ mean }) => softmax(mean))) - 0.02,
  );
  for (const [i, { probabilities }] of sampled.entries()) {
    expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
    expect(distance(probabilities, probits[i]!.probabilities)).toBeLessThan(0.2);
  }
});

test('what is no LoRA of linear layers, no row with a class, or no posterior of this LoRA is refused', async () => {
  const base = tinyLlama();
  const adapted = await shaken(base, lora({ target, rank: 2 }));
  const data = [asked(rows, [5, 2, 9])];
  const refused = (given: object, more: object = {}, code: Parameters<typeof messageOf>[0] = 'bad-option') =>
    messageOf(code, () => laplaceLora(given as typeof adapted, { executor, classes, data, ...more }));
  expect(await refused(attach(base, [dora({ rank: 2 })]))).toContain('got dora');
  expect(await refused(attach(base, [lora({ rank: 2, loraBias: true })]))).toContain('that trains more');
  expect(await refused(attach(base, [lora({ target: ['embed_tokens'] })]))).toContain('embed_tokens is none');
  expect(await refused(base)).toContain('that is a model alone');
  expect(await refused(adapted, { classes: undefined })).toContain('at least two ids');
  expect(await refused(adapted, { classes: [3, 99] })).toContain('at least two ids');
  expect(await refused(adapted, { data: [] })).toContain('one at least');
  expect(await refused(adapted, { data: [asked(rows, [5, 2, 4])] }, 'bad-data')).toContain(
    'row 2 of a batch has the label 4',
  );
  const [{ columns, ...rest }] = data as [Examples];
  const { labels: _, ...unlabelled } = columns;
  expect(await refused(adapted, { data: [{ ...rest, columns: unlabelled }] }, 'bad-data')).toContain(
    'no column labels',
  );
  const mask = Float32Array.of(1, 1, 0, 1, 1, 1, 1, 1, 1);
  expect(await refused(adapted, { data: [{ ...rest, columns: { ...columns, mask } }] }, 'bad-data')).toContain(
    'row 0 of a batch ends with padding',
  );
  const documents = columns['labels']!;
  expect(await refused(adapted, { data: [{ ...rest, columns: { ...columns, documents } }] }, 'bad-data')).toContain(
    'a text in each row',
  );
  expect(await refused(attach(tinyBert(), [lora({ rank: 2 })]))).toContain('sequenceClassifier, with classes');
  const posterior = await laplaceLora(adapted, { executor, classes, data });
  const otherRank = await shaken(base, lora({ target, rank: 3 }));
  const predicted = (): Promise<unknown> => laplacePredict(otherRank, posterior, { executor, data });
  expect(await messageOf('bad-option', predicted)).toContain('one of another LoRA');
  expect(await messageOf('bad-option', async () => laplaceEvidence(posterior, 0))).toContain('a number above 0, got 0');
});
