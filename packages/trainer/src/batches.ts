import { type Batch, type Cursor, type Opened, type Stream, shuffled, type TokenRows } from '@peftjs/data';
import { checkOptions, mustBe, PeftError } from '@peftjs/tensor';
import { checkBatch, type DataNeeds } from './check-data.ts';
import { checkBatchSize, makeBatch } from './pack.ts';

/** Batches of rows in memory by their number: every epoch visits all rows once, in an order drawn from the seed; rows that don't fill a batch open the next one. */
const batchAt = ({ rows, context }: TokenRows, size: number, seed: number): ((index: number) => Batch) => {
  checkOptions('training batches', { size: mustBe.count, seed: mustBe.whole }, { size, seed });
  checkBatchSize('training batches', size, context);
  if (rows.length === 0) throw new PeftError('bad-data', 'there are no rows to train on');
  const orders = new Map<number, ReturnType<typeof shuffled>>();
  const orderOf = (epoch: number): ReturnType<typeof shuffled> => {
    const known = orders.get(epoch) ?? shuffled(rows.length, seed, `epoch ${epoch}`);
    for (const other of orders.keys()) if (other < epoch - 1) orders.delete(other);
    orders.set(epoch, known);
    return known;
  };
  return (index) => {
    const picked = Array.from({ length: size }, (_, i) => {
      const at = index * size + i;
      return rows[orderOf(Math.floor(at / rows.length))[at % rows.length]!]!;
    });
    return makeBatch(picked, size, context);
  };
};

/** Batches without end: every epoch visits all rows once, in an order drawn from the seed; rows that don't fill a batch open the next one. */
export function* trainingBatches(data: TokenRows, size: number, seed: number): Generator<Batch, never> {
  const at = batchAt(data, size, seed);
  for (let index = 0; ; index++) yield at(index);
}

/** All rows once, in order; the last batch is padded. Throws `bad-option`. */
export function* evaluationBatches({ rows, context }: TokenRows, size: number): Generator<Batch> {
  checkOptions('evaluation', { batchSize: mustBe.count }, { batchSize: size });
  for (let at = 0; at < rows.length; at += size) yield makeBatch(rows.slice(at, at + size), size, context);
}

/** Where a run's batches come from. */
export interface BatchSource {
  /** The batch with this number in the run; of a stream the next one. */
  next(index: number): Promise<Batch>;
  /** Where the stream stands; null for rows in memory, of which the number says it. */
  cursor(): Cursor | null;
  close(): Promise<void>;
}

/** Whether data is rows in memory. */
export const isTokenRows = (data: TokenRows | Stream<Batch>): data is TokenRows => 'rows' in data;

/** Opens a run's batches, a stream where it stood. Those of a stream are checked as they come; throws `bad-data`. */
export const openBatches = (
  data: TokenRows | Stream<Batch>,
  {
    size,
    seed,
    at,
    needs,
  }: { readonly size: number; readonly seed: number; readonly at: Cursor | null; readonly needs: DataNeeds },
): BatchSource => {
  if (isTokenRows(data)) {
    const batch = batchAt(data, size, seed);
    return { next: async (index) => batch(index), cursor: () => null, close: async () => {} };
  }
  const opened: Opened<Batch> = data.open(at ?? undefined);
  return {
    next: async (index) => {
      const { done, value } = await opened.next();
      if (!done) {
        await checkBatch(needs, { batch: value, name: `batch ${index}`, origin: opened.origin?.() });
        return value;
      }
      throw new PeftError('bad-data', `the data ends after ${index} batches; give fewer steps, or \`repeat\` it`);
    },
    cursor: () => opened.cursor(),
    close: async () => void (await opened.return?.()),
  };
};
