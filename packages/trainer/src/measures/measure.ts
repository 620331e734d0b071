import { PeftError } from '@peftjs/tensor';

/** Classes of rows by number. */
export interface Classes {
  readonly kind: 'classes';
  readonly predicted: readonly number[];
  readonly wanted: readonly number[];
}

/** Any number of labels of a row: 1 for those that it has, else 0. */
export interface LabelSets {
  readonly kind: 'label sets';
  readonly predicted: readonly (readonly number[])[];
  readonly wanted: readonly (readonly number[])[];
}

/** Numbers of a row. */
export interface Numbers {
  readonly kind: 'numbers';
  readonly predicted: readonly (readonly number[])[];
  readonly wanted: readonly (readonly number[])[];
}

/** Names of the classes of a row's tokens, of those that have a label. */
export interface Tags {
  readonly kind: 'tags';
  readonly predicted: readonly (readonly string[])[];
  readonly wanted: readonly (readonly string[])[];
}

/** The first and the last token of each row's answer. */
export interface Spans {
  readonly kind: 'spans';
  readonly predicted: readonly (readonly [number, number])[];
  readonly wanted: readonly (readonly [number, number])[];
}

/** Predictions of a model beside what was wanted, over all rows of an evaluation. */
export type Outcomes = Classes | LabelSets | Numbers | Tags | Spans;

/** A measure of predictions: values by name. One of your own is such a function. */
export type Measure = (
  outcomes: Outcomes,
) => Readonly<Record<string, number>> | Promise<Readonly<Record<string, number>>>;

/** Throws `bad-data` unless there are as many predictions as wanted values, and at least one. */
export const checkPairs = (who: string, predicted: readonly unknown[], wanted: readonly unknown[]): void => {
  if (predicted.length === wanted.length && wanted.length > 0) return;
  throw new PeftError(
    'bad-data',
    `${who}: takes as many predictions as wanted values, at least one; got ${predicted.length} and ${wanted.length}`,
  );
};
