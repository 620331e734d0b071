import {
  constant,
  equal,
  exp,
  logSoftmax,
  mul,
  PeftError,
  sameShape,
  select,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Inputs, Loss } from '@peftjs/transformer';

/** f32, 1 for the rows of logits [..., classes] that have a label, or all of them where the batch has none. */
export const counted = (who: string, { labels }: Inputs, logits: Tensor): Tensor => {
  const rows = logits.shape.slice(0, -1);
  if (labels?.dtype !== 'i32') return constant(new Float32Array(rows.reduce((n, d) => n * d, 1)).fill(1), rows);
  if (!sameShape(labels.shape, rows))
    throw new PeftError('bad-shape', `${who}: labels [${labels.shape}] do not go with outputs [${logits.shape}]`);
  return sub(1, equal(labels, constant(Int32Array.of(-100), [])));
};

/**
 * KL(p ‖ q) = Σ p·(log p − log q) of the softmax of two outputs [..., classes], in nats, summed over the rows that have a label; the weight
 * is their number.
 */
export const divergence = (who: string, p: Tensor, q: Tensor, inputs: Inputs): Loss => {
  const [logP, logQ] = [logSoftmax(p), logSoftmax(q)];
  const rows = sum(mul(exp(logP), sub(logP, logQ)), { axes: [p.shape.length - 1] });
  const counts = counted(who, inputs, p);
  return { sum: sum(select(counts, rows, constant(Float32Array.of(0), []))), weight: sum(counts) };
};
