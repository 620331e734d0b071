import { type Batch, fromArray } from '@peftjs/data';
import { compile, input, reference, type TypedArray } from '@peftjs/tensor';
import { tinyBert } from '@peftjs/testkit';
import {
  multipleChoice,
  questionAnswering,
  sequenceClassifier,
  type TaskModel,
  tokenClassifier,
} from '@peftjs/transformer';
import { tinyLlama } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import {
  accuracy,
  entityScores,
  evaluateModel,
  f1,
  f1OfSets,
  mcc,
  type Outcomes,
  packTokens,
  pearson,
  spanScores,
} from './index.ts';

const executor = reference();
const [rows, tokens] = [4, 5];
const ids = (batch: number): Int32Array =>
  Int32Array.from({ length: rows * tokens }, (_, i) => 1 + ((i * 7 + batch * 5 + ((i * i) % 3)) % 10));

const batches = (labels: (batch: number) => Readonly<Record<string, TypedArray>>): Batch[] =>
  [0, 1, 2].map((i) => {
    const columns = { ids: ids(i), ...labels(i) };
    const shapes = Object.fromEntries(
      Object.entries(columns).map(([name, data]) => [name, data.length === rows ? [rows] : [rows, data.length / rows]]),
    );
    return { rows, columns, shapes };
  });

/** Everything that a measure is given. */
const seen = async (model: TaskModel<unknown>, data: readonly Batch[]) => {
  let outcomes: Outcomes | undefined;
  const spy = (o: Outcomes): Record<string, number> => {
    outcomes = o;
    return { count: o.wanted.length };
  };
  const found = await evaluateModel(model, fromArray(data), { executor, metrics: [spy] });
  return { outcomes: outcomes!, found };
};

/** The numbers of the task's outputs, row by row. */
const logits = async (model: TaskModel<unknown>, { columns, shapes }: Batch, width: number): Promise<number[][]> => {
  const given = input('ids', shapes['ids']!, 'i32');
  const step = await compile({ outputs: { out: model.outputs({ ids: given }) as never } }, { executor });
  const out = [...(await step.run({ ids: columns['ids']! }))['out']!];
  return Array.from({ length: out.length / width }, (_, i) => out.slice(i * width, (i + 1) * width));
};
const argmax = (row: readonly number[]): number => row.indexOf(Math.max(...row));

describe('evaluateModel compares', () => {
  test('classes, without those that do not count', async () => {
    const model = tinyBert({}, 0, sequenceClassifier({ labels: 3 }));
    const data = batches((b) => ({ labels: Int32Array.of(b % 3, 1, -100, 2) }));
    const { outcomes } = await seen(model, data);
    const own = (await Promise.all(data.map((b) => logits(model, b, 3)))).flat().map(argmax);
    const wanted = data.flatMap((b) => [...b.columns['labels']!]);
    const counted = wanted.flatMap((label, i) => (label === -100 ? [] : [i]));
    const [p, w] = [counted.map((i) => own[i]!), counted.map((i) => wanted[i]!)];
    expect(outcomes).toEqual({ kind: 'classes', predicted: p, wanted: w });
    const { loss, tokens: weight, metrics } = await evaluateModel(model, fromArray(data), { executor });
    expect(weight).toBe(9);
    expect(loss).toBeGreaterThan(0);
    expect(metrics).toEqual({ accuracy: accuracy(p, w), macroF1: f1(p, w), mcc: mcc(p, w) });
    const some = await evaluateModel(model, fromArray(data), {
      executor,
      metrics: ['weightedF1', () => ({ mine: 3 })],
    });
    expect(some.metrics).toEqual({ weightedF1: f1(p, w, 'weighted'), mine: 3 });
    expect((await evaluateModel(model, fromArray(data), { executor, metrics: [] })).metrics).toEqual({});
  });

  test('sets of labels, numbers', async () => {
    const sets = tinyBert({}, 0, sequenceClassifier({ labels: 3, problem: 'multi-label' }));
    const data = batches((b) => ({ labels: Float32Array.from({ length: 12 }, (_, i) => (i * 5 + b) % 2) }));
    const { outcomes } = await seen(sets, data);
    const own = (await Promise.all(data.map((b) => logits(sets, b, 3)))).flat();
    expect(outcomes.predicted).toEqual(own.map((row) => row.map((x) => (x > 0 ? 1 : 0))));
    const found = await evaluateModel(sets, fromArray(data), { executor });
    const [p, w] = [outcomes.predicted as number[][], outcomes.wanted as number[][]];
    expect(w[1]).toEqual([1, 0, 1]);
    expect(found.metrics['microF1']).toBe(f1OfSets(p, w, 'micro'));
    const numbers = tinyBert({}, 0, sequenceClassifier({ labels: 1, problem: 'regression' }));
    const scores = batches((b) => ({ labels: Float32Array.from({ length: rows }, (_, i) => Math.sin(i + b)) })).map(
      (b) => ({ ...b, shapes: { ...b.shapes, labels: [rows, 1] } }),
    );
    const flat = (await Promise.all(scores.map((b) => logits(numbers, b, 1)))).flat(2);
    const right = scores.flatMap((b) => [...b.columns['labels']!]);
    const { metrics } = await evaluateModel(numbers, fromArray(scores), { executor });
    expect(metrics['pearson']).toBeCloseTo(pearson(flat, right), 5);
  });

  test('tags by their names, choices, places of answers', async () => {
    const labels = ['O', 'B-X', 'I-X'];
    const tagger = tinyBert({}, 0, tokenClassifier({ labels }));
    const tagged = batches((b) => ({
      labels: Int32Array.from({ length: rows * tokens }, (_, i) => (i % tokens === 4 ? -100 : (i + b) % 3)),
    }));
    const { outcomes } = await seen(tagger, tagged);
    const best = (await logits(tagger, tagged[0]!, 3)).map((row) => labels[argmax(row)]!);
    expect(outcomes.predicted[0]).toEqual(best.slice(0, 4));
    expect(outcomes.wanted[0]).toEqual(['O', 'B-X', 'I-X', 'O']);
    const { metrics } = await evaluateModel(tagger, fromArray(tagged), { executor });
    const { f1: both } = entityScores(outcomes.predicted as string[][], outcomes.wanted as string[][]);
    expect(metrics['f1']).toBe(both);

    const chooser = tinyBert({}, 0, multipleChoice({ choices: 2 }));
    const asked = batches(() => ({ labels: Int32Array.of(0, 1, 0, 0) }));
    const chosen = await seen(chooser, asked);
    // The second question of each batch has no right choice.
    expect(chosen.outcomes.wanted).toEqual([1, 1, 1]);
    const firsts = await Promise.all(asked.map(async (b) => argmax((await logits(chooser, b, 2))[0]!)));
    expect(chosen.outcomes.predicted).toEqual(firsts);

    const finder = tinyBert({}, 0, questionAnswering());
    const questions = batches((b) => ({
      startPositions: Int32Array.of(0, 1, b, -100),
      endPositions: Int32Array.of(2, 1, 4, 3),
    }));
    const found = await seen(finder, questions);
    expect(found.outcomes.wanted.slice(0, 3)).toEqual([
      [0, 2],
      [1, 1],
      [0, 4],
    ]);
    const scores = (await logits(finder, questions[0]!, 2)).slice(0, tokens);
    const pairs = scores.flatMap((s, i) => scores.slice(i).map((e, j) => [s[0]! + e[1]!, i, i + j] as const));
    const [, start, end] = pairs.toSorted((a, b) => b[0] - a[0])[0]!;
    expect(found.outcomes.predicted[0]).toEqual([start, end]);
    const spans = await evaluateModel(finder, fromArray(questions), { executor });
    expect(spans.metrics).toEqual({ ...spanScores(found.outcomes.predicted as never, found.outcomes.wanted as never) });
  });

  test('nothing of a language model but its loss', async () => {
    const data = packTokens([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]], { context: 4, endOfText: 0 });
    const { loss, metrics } = await evaluateModel(tinyLlama(), data, { executor });
    expect(metrics).toEqual({ perplexity: Math.exp(loss) });
    await expect(evaluateModel(tinyLlama(), data, { executor, metrics: ['accuracy'] })).rejects.toThrow(
      'metrics: causalLM makes no predictions that are measured',
    );
  });
});

test('measures that do not fit are refused', async () => {
  const model = tinyBert({}, 0, sequenceClassifier({ labels: 3 }));
  const data = fromArray(batches(() => ({ labels: Int32Array.of(0, 1, 2, 1) })));
  await expect(evaluateModel(model, data, { executor, metrics: ['pearson'] })).rejects.toThrow(
    'metrics: pearson is a measure of numbers, and the task predicts classes; take one of accuracy, f1, macroF1',
  );
  await expect(evaluateModel(model, data, { executor, metrics: ['f2' as never] })).rejects.toThrow('must be one of');
  await expect(evaluateModel(model, data, { executor, metrics: [() => ({ odd: Number.NaN })] })).rejects.toThrow(
    'metrics: odd is NaN',
  );
  expect(() => f1([0, 2], [0, 1], 'binary')).toThrow('f1: binary is of the classes 0 and 1, got class 2');
  expect(() => accuracy([1], [])).toThrow('takes as many predictions as wanted values');
});
