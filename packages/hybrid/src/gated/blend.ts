import { add, concat, mul, reshape, slice, sub, type Tensor } from '@peftjs/tensor';
import type { KeyValue } from '@peftjs/transformer';

/** from + G·(to − from), G [batch, 1, 1]; rows that `to` has in front of those of `from`, at axis −2, are multiplied by G. */
export const blend = (from: Tensor, to: Tensor, gate: Tensor): Tensor => {
  if (to === from) return to;
  const rank = to.shape.length;
  const open = reshape(gate, [gate.shape[0]!, ...Array<number>(rank - 1).fill(1)]);
  const [rows, own] = [to.shape[rank - 2]!, from.shape[rank - 2]!];
  if (rows === own) return add(from, mul(sub(to, from), open));
  const part = (start: number, end: number): Tensor => slice(to, { axis: -2, start, end });
  const front = mul(part(0, rows - own), open);
  return concat(front, add(from, mul(sub(part(rows - own, rows), from), open)), { axis: -2 });
};

/** The same of keys and of values. */
export const blendKeys = (from: KeyValue, to: KeyValue, gate: Tensor): KeyValue => ({
  k: blend(from.k, to.k, gate),
  v: blend(from.v, to.v, gate),
});
