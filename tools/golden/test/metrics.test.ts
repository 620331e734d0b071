import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Average,
  accuracy,
  answerScores,
  bleu,
  entityScores,
  f1,
  f1OfSets,
  mcc,
  pearson,
  rouge,
  spearman,
} from '@peftjs/trainer';
import { describe, expect, test } from 'vitest';

interface Case<T, W = T> {
  readonly predicted: readonly T[];
  readonly wanted: readonly W[];
}

interface Golden {
  readonly classes: readonly (Case<number> & {
    readonly accuracy: number;
    readonly mcc: number;
    readonly f1: object;
  })[];
  readonly sets: readonly (Case<readonly number[]> & { readonly accuracy: number; readonly f1: object })[];
  readonly numbers: readonly (Case<number> & { readonly pearson: number; readonly spearman: number })[];
  readonly tags: readonly (Case<readonly string[]> & Record<'precision' | 'recall' | 'f1' | 'accuracy', number>)[];
  readonly texts: readonly (Case<string, readonly string[]> & {
    readonly rouge: Readonly<Record<string, number>>;
    readonly bleu: number;
    readonly exactMatch: number;
    readonly f1: number;
  })[];
}

const golden = JSON.parse(await readFile(join(import.meta.dirname, '../data/metrics.json'), 'utf8')) as Golden;

const near = (value: number) => expect.closeTo(value, 10);
const nearAll = (values: object) => Object.fromEntries(Object.entries(values).map(([k, v]) => [k, near(v as number)]));

describe('measures are those of', () => {
  test.each(golden.classes.map((c, i) => [i, c] as const))('scikit-learn: classes %i', (_, c) => {
    const averages = Object.keys(c.f1) as Average[];
    expect(Object.fromEntries(averages.map((a) => [a, f1(c.predicted, c.wanted, a)]))).toEqual(nearAll(c.f1));
    expect(accuracy(c.predicted, c.wanted)).toEqual(near(c.accuracy));
    expect(mcc(c.predicted, c.wanted)).toEqual(near(c.mcc));
  });

  test.each(golden.sets.map((c, i) => [i, c] as const))('scikit-learn: sets of labels %i', (_, c) => {
    const averages = Object.keys(c.f1) as Exclude<Average, 'binary'>[];
    expect(Object.fromEntries(averages.map((a) => [a, f1OfSets(c.predicted, c.wanted, a)]))).toEqual(nearAll(c.f1));
    expect(accuracy(c.predicted, c.wanted)).toEqual(near(c.accuracy));
  });

  test.each(golden.numbers.map((c, i) => [i, c] as const))('scipy: numbers %i', (_, c) => {
    expect(pearson(c.predicted, c.wanted)).toEqual(near(c.pearson));
    expect(spearman(c.predicted, c.wanted)).toEqual(near(c.spearman));
  });

  test.each(golden.tags.map((c, i) => [i, c] as const))('seqeval: tags %i', (_, { predicted, wanted, ...scores }) => {
    expect(entityScores(predicted, wanted)).toEqual(nearAll(scores));
  });

  test.each(golden.texts.map((c, i) => [i, c] as const))('rouge_score, sacrebleu and SQuAD: texts %i', (_, c) => {
    expect(rouge(c.predicted, c.wanted)).toEqual(nearAll(c.rouge));
    expect(bleu(c.predicted, c.wanted)).toEqual(near(c.bleu));
    expect(answerScores(c.predicted, c.wanted)).toEqual(nearAll({ exactMatch: c.exactMatch, f1: c.f1 }));
  });
});
