import type { Row } from '@peftjs/data';
import { type Batch, batch, fromArray, pipe, repeat, type Stage, type Stream, shuffle } from '@peftjs/data';
import type { ClassData, ClassExample } from './class-data.ts';

/** Examples of a training step. */
export const batchSize = 16;

/** Puts rows of these data together, all of one length, so that there is one program. */
const together = ({ shapes, length }: ClassData, size: number = batchSize): Stage<Row, Batch> =>
  batch({ size, shapes, ...(length !== null && { mask: true, multipleOf: length }) });

/** The examples to learn from again and again, in an order drawn by the seed. */
export const endless = (data: ClassData, seed: number, size?: number): Stream<Batch> =>
  pipe(fromArray(data.train.map(({ row }) => row)), shuffle({ seed }), repeat(), together(data, size));

/** Examples in batches, as a stream that ends. */
export const streamOf = (data: ClassData, examples: readonly ClassExample[], size?: number): Stream<Batch> =>
  pipe(fromArray(examples.map(({ row }) => row)), together(data, size));
