import { add, constant, gather, reshape, scatterAdd, type Tensor } from '@peftjs/tensor';

/** Numbers of rows [batch, k] as those of rows of all sequences laid end to end, of `total` each. */
const laidOut = (rows: Tensor, total: number): Tensor => {
  const [batch] = rows.shape as readonly [number, number];
  const starts = Int32Array.from({ length: batch }, (_, i) => i * total);
  return batch === 1 ? rows : add(rows, constant(starts, [batch, 1]));
};

/** Rows of sequences [batch, rows, …] by their numbers, i32 [batch, k]: [batch, k, …]. The number batch · rows stands for no row: zeros. */
export const takeRows = (x: Tensor, rows: Tensor): Tensor => {
  const [batch, total, ...rest] = x.shape as readonly [number, number, ...number[]];
  return gather(reshape(x, [batch * total, ...rest]), laidOut(rows, total));
};

/** The other way: rows [batch, k, …] in their places among `total`, zeros in all others; those of the number batch · total are dropped. */
export const putRows = (y: Tensor, rows: Tensor, total: number): Tensor => {
  const [batch, , ...rest] = y.shape as readonly [number, number, ...number[]];
  const laid = scatterAdd(y, laidOut(rows, total), { rows: batch * total });
  return reshape(laid, [batch, total, ...rest]);
};
