import { shuffled, type TokenRows } from '@peftjs/data';
import { PeftError } from '@peftjs/tensor';
import { type Batch, makeBatch } from './pack.ts';

/** Batches without end: every epoch visits all rows once, in an order drawn from the seed; rows that don't fill a batch open the next one. */
export function* trainingBatches({ rows, context }: TokenRows, size: number, seed: number): Generator<Batch, never> {
  if (!Number.isInteger(size) || size < 1)
    throw new PeftError('bad-option', `batch size must be a whole number of at least 1, got ${size}`);
  if (rows.length === 0) throw new PeftError('bad-data', 'there are no rows to train on');
  let waiting: Int32Array[] = [];
  for (let epoch = 0; ; epoch++)
    for (const i of shuffled(rows.length, seed, `epoch ${epoch}`)) {
      waiting.push(rows[i]!);
      if (waiting.length < size) continue;
      yield makeBatch(waiting, size, context);
      waiting = [];
    }
}

/** All rows once, in order; the last batch is padded. */
export function* evaluationBatches({ rows, context }: TokenRows, size: number): Generator<Batch> {
  for (let at = 0; at < rows.length; at += size) yield makeBatch(rows.slice(at, at + size), size, context);
}
