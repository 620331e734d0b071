import { broadcastTo, concat, constant, div, maximum, mul, reshape, slice, sum, type Tensor } from '@peftjs/tensor';
import type { Inputs } from '../states.ts';

/** The first row of each sequence: of a prompt in front, where there is one, as in transformers. [batch, rows, d] -> [batch, d]. */
export const firstRow = (rows: Tensor): Tensor => {
  const [batch, , width] = rows.shape as readonly [number, number, number];
  return reshape(slice(rows, { axis: 1, start: 0, end: 1 }), [batch, width]);
};

/** 1 for each row that counts: those in front, and tokens that the mask keeps. f32 [batch, rows], or null where all do. */
const countedRows = (rows: Tensor, { mask }: Inputs, tokens: number): Tensor | null => {
  if (!mask) return null;
  const [batch, count] = rows.shape as readonly [number, number, number];
  if (count === tokens) return mask;
  return concat(broadcastTo(constant(Float32Array.of(1), []), [batch, count - tokens]), mask, { axis: 1 });
};

/** The mean of the rows that count: [batch, rows, d] -> [batch, d]; of a sequence that has none, zeros. */
export const meanRow = (rows: Tensor, inputs: Inputs, tokens: number): Tensor => {
  const [batch, count] = rows.shape as readonly [number, number, number];
  const counted = countedRows(rows, inputs, tokens);
  if (!counted) return div(sum(rows, { axes: [1] }), count);
  const kept = mul(rows, reshape(counted, [batch, count, 1]));
  return div(sum(kept, { axes: [1] }), maximum(reshape(sum(counted, { axes: [1] }), [batch, 1]), 1e-9));
};
