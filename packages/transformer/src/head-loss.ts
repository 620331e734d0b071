import { checkpoint } from '@peftjs/autograd';
import {
  add,
  broadcastTo,
  cast,
  concat,
  constant,
  div,
  equal,
  gather,
  headCrossEntropy,
  logSoftmax,
  maximum,
  mul,
  neg,
  reshape,
  select,
  slice,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import { type Dense, isDenseLinear, type Linear } from './linear.ts';

const chunkRows = 1024;

const number = (value: number): Tensor => constant(Float32Array.of(value), []);

/** A bias is one more column of the weight, read by one more feature that is always 1. */
const foldBias = (rows: Tensor, { weight, bias }: Dense): { readonly rows: Tensor; readonly weight: Tensor } =>
  bias
    ? {
        rows: concat(rows, broadcastTo(number(1), [rows.shape[0]!, 1]), { axis: 1 }),
        weight: concat(weight, reshape(bias, [-1, 1]), { axis: 1 }),
      }
    : { rows, weight };

/** Sum of −log p(label) over the labelled ones of a chunk of rows, through the layer's own `apply`. */
const chunkLoss = (head: Linear, rows: Tensor, labels: Tensor, counted: Tensor): Tensor => {
  const logProbs = reshape(logSoftmax(head.apply(rows)), [-1]);
  const starts = constant(
    Int32Array.from({ length: rows.shape[0]! }, (_, i) => i * head.outDim),
    [rows.shape[0]!],
  );
  const own = gather(logProbs, add(starts, labels));
  return sum(select(counted, neg(own), number(0)));
};

/**
 * Mean cross-entropy of a head's softmax over the labelled positions; hidden [batch, tokens, d], labels i32 [batch, tokens].
 * A plain head goes the fused way, where logits and their gradient exist chunk by chunk alone. An adapted or quantised head says
 * what it does by `apply` only (dropout, 4-bit products): its logits are made chunk by chunk and again in the backward pass.
 */
export const headLoss = (head: Linear, hidden: Tensor, labels: Tensor, ignoreIndex: number): Tensor => {
  const rows = reshape(hidden, [-1, hidden.shape.at(-1)!]);
  const flat = reshape(labels, [-1]);
  if (isDenseLinear(head)) {
    const folded = foldBias(rows, head.dense());
    return headCrossEntropy(folded.rows, folded.weight, flat, { ignoreIndex });
  }
  const count = rows.shape[0]!;
  const counted = sub(number(1), equal(flat, constant(Int32Array.of(ignoreIndex), [])));
  const safe = mul(flat, cast(counted, { dtype: 'i32' }));
  const losses = Array.from({ length: Math.ceil(count / chunkRows) }, (_, i) => {
    const part = (t: Tensor): Tensor =>
      slice(t, { axis: 0, start: i * chunkRows, end: Math.min(count, (i + 1) * chunkRows) });
    return checkpoint((x: Tensor) => chunkLoss(head, x, part(safe), part(counted)))(part(rows));
  });
  return div(
    losses.reduce((a, b) => add(a, b)),
    maximum(sum(counted), number(1)),
  );
};
