import { PeftError, randomSource } from '@peftjs/tensor';
import { type Batch, makeBatch, type TokenRows } from './pack.ts';

/** A permutation of 0 … n−1. Fisher & Yates, 1938; Durstenfeld, 1964. https://doi.org/10.1145/364520.364540 */
const shuffled = (n: number, seed: number, epoch: number): number[] => {
  const random = randomSource(seed, `epoch ${epoch}`);
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
};

/** Batches without end: every epoch visits all rows once, in an order drawn from the seed; rows that don't fill a batch open the next one. */
export function* trainingBatches({ rows, context }: TokenRows, size: number, seed: number): Generator<Batch, never> {
  if (!Number.isInteger(size) || size < 1)
    throw new PeftError('bad-option', `batch size must be a whole number of at least 1, got ${size}`);
  const waiting: number[] = [];
  for (let epoch = 0; ; epoch++) {
    waiting.push(...shuffled(rows.length, seed, epoch));
    while (waiting.length >= size)
      yield makeBatch(
        waiting.splice(0, size).map((i) => rows[i]!),
        size,
        context,
      );
  }
}

/** All rows once, in order; the last batch is padded. */
export function* evaluationBatches({ rows, context }: TokenRows, size: number): Generator<Batch> {
  for (let at = 0; at < rows.length; at += size) yield makeBatch(rows.slice(at, at + size), size, context);
}
