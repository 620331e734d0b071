import { type Batch, ignored } from '@peftjs/data';
import type { Tokenizer } from '@peftjs/io';
import type { Example } from './tasks.ts';

/** Tokens of a row. */
export const context = 56;

/** A row of a batch: labels are the answer's tokens alone. */
export interface Row {
  readonly ids: Int32Array;
  readonly labels: Int32Array;
  /** [1] */
  readonly task: Int32Array;
}

/** The tokens of an example, the last words of its text left out until they fit. */
export const rowOf = ({ text, question, answer }: Example, task: number, { encode }: Tokenizer): Row => {
  for (let words = text.split(' ').slice(0, context); ; words = words.slice(0, -1)) {
    const prompt = `${words.join(' ')}\n${question}:`;
    const all = encode(prompt + answer);
    if (all.length > context + 1) continue;
    const begins = encode(prompt).length;
    return {
      ids: all.slice(0, -1),
      labels: all.slice(1).map((id, t) => (t + 1 >= begins ? id : ignored)),
      task: Int32Array.of(task),
    };
  }
};

/** Rows as a batch whose rows are all filled up to one length, so that there is one program. */
export const batchOf = (rows: readonly Row[], withTask: boolean, withMask: boolean): Batch => {
  const filled = (of: (row: Row) => Int32Array, pad: number): Int32Array => {
    const all = new Int32Array(rows.length * context).fill(pad);
    for (const [i, row] of rows.entries()) all.set(of(row), i * context);
    return all;
  };
  const shape = [rows.length, context];
  const mask = new Float32Array(rows.length * context);
  for (const [i, { ids }] of rows.entries()) mask.fill(1, i * context, i * context + ids.length);
  return {
    rows: rows.length,
    columns: {
      ids: filled(({ ids }) => ids, 0),
      labels: filled(({ labels }) => labels, ignored),
      ...(withMask && { mask }),
      ...(withTask && { task: Int32Array.from(rows, (row) => row.task[0]!) }),
    },
    shapes: {
      ids: shape,
      labels: shape,
      ...(withMask && { mask: shape }),
      ...(withTask && { task: [rows.length] }),
    },
  };
};
