import type { Batch } from '@peftjs/data';
import { argmax, type Tensor, type TypedArray } from '@peftjs/tensor';
import type { Predicts, Task } from '@peftjs/transformer';
import type { Outcomes } from './measure.ts';

/** A batch with what the task's outputs of it say. */
interface Found {
  readonly values: TypedArray;
  readonly batch: Batch;
  readonly task: Task<unknown>;
}

/** Pairs of what is predicted and wanted; null for what does not count. */
type Pairs = readonly (readonly [predicted: unknown, wanted: unknown] | null)[];

/** How a task's predictions are read and compared. */
export interface Reader {
  readonly kind: Outcomes['kind'];
  /** The part of the outputs that is brought to the host. */
  of(outputs: Tensor): Tensor;
  pairs(found: Found): Pairs;
}

const indices = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

const rowOf = (values: TypedArray, row: number, rows: number): number[] => {
  const width = values.length / rows;
  return [...values.subarray(row * width, (row + 1) * width)];
};

const ignoredBy = (task: Task<unknown>): number => task.ignoreIndex ?? -100;

const classPairs = ({ values, batch, task }: Found): Pairs =>
  [...batch.columns['labels']!].map((wanted, i) => (wanted === ignoredBy(task) ? null : [values[i], wanted]));

const choicePairs = ({ values, batch }: Found): Pairs =>
  indices(values.length).map((question) => {
    const right = rowOf(batch.columns['labels']!, question, values.length).indexOf(1);
    return right < 0 ? null : [values[question], right];
  });

const tagPairs = ({ values, batch, task }: Found): Pairs =>
  indices(batch.rows).map((row) => {
    const [own, wanted] = [rowOf(values, row, batch.rows), rowOf(batch.columns['labels']!, row, batch.rows)];
    const counted = indices(wanted.length).filter((t) => wanted[t] !== ignoredBy(task));
    const names = (numbers: readonly number[]): string[] => counted.map((t) => task.labels![numbers[t]!]!);
    return counted.length === 0 ? null : [names(own), names(wanted)];
  });

/** The place of the first and of the last token whose scores come to most, the last not before the first; of tokens that are text. */
const bestSpan = (scores: readonly number[], mask: readonly number[] | null): readonly [number, number] => {
  let [first, best, span] = [0, Number.NEGATIVE_INFINITY, [0, 0] as readonly [number, number]];
  let highest = Number.NEGATIVE_INFINITY;
  for (let t = 0; t < scores.length / 2; t++) {
    if (mask && mask[t] === 0) continue;
    if (scores[2 * t]! > highest) [first, highest] = [t, scores[2 * t]!];
    if (highest + scores[2 * t + 1]! > best) [best, span] = [highest + scores[2 * t + 1]!, [first, t]];
  }
  return span;
};

const spanPairs = ({ values, batch }: Found): Pairs =>
  indices(batch.rows).map((row) => {
    const scores = rowOf(values, row, batch.rows);
    const wanted = ['startPositions', 'endPositions'].map((name) => batch.columns[name]![row]!);
    if (wanted.some((place) => place < 0 || place >= scores.length / 2)) return null;
    const mask = batch.columns['mask'];
    return [bestSpan(scores, mask ? rowOf(mask, row, batch.rows) : null), wanted];
  });

const rowPairs =
  (read: (x: number) => number) =>
  ({ values, batch }: Found): Pairs =>
    indices(batch.rows).map((row) => [
      rowOf(values, row, batch.rows).map(read),
      rowOf(batch.columns['labels']!, row, batch.rows),
    ]);

const whole = (outputs: Tensor): Tensor => outputs;
const best = (outputs: Tensor): Tensor => argmax(outputs, { axis: outputs.shape.length - 1 });

const readers: Readonly<Record<Predicts, Reader>> = {
  classes: { kind: 'classes', of: best, pairs: classPairs },
  choices: { kind: 'classes', of: best, pairs: choicePairs },
  tags: { kind: 'tags', of: best, pairs: tagPairs },
  'label sets': { kind: 'label sets', of: whole, pairs: rowPairs((logit) => (logit > 0 ? 1 : 0)) },
  numbers: { kind: 'numbers', of: whole, pairs: rowPairs((x) => x) },
  spans: { kind: 'spans', of: whole, pairs: spanPairs },
};

/** The reader of a task's predictions; null where it makes none. */
export const readerOf = ({ predicts }: Task<unknown>): Reader | null => (predicts ? readers[predicts] : null);

/** The outcomes of all batches. */
export const joined = ({ kind }: Reader, pairs: Pairs): Outcomes => {
  const kept = pairs.filter((pair) => pair !== null);
  return { kind, predicted: kept.map(([p]) => p), wanted: kept.map(([, w]) => w) } as Outcomes;
};
