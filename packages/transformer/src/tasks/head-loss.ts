import { recomputed } from '@peftjs/autograd';
import {
  add,
  broadcastTo,
  cast,
  concat,
  concatAll,
  constant,
  equal,
  gather,
  greaterEqual,
  headCrossEntropy,
  headLabelLosses,
  logSoftmax,
  mean,
  mul,
  neg,
  reshape,
  select,
  slice,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import { codedRows, type Dense, type Linear, storedValues } from '../linear.ts';
import type { Loss } from '../loss.ts';
import type { Call } from '../pass.ts';
import type { LabelLosses, LabelLossOptions } from './task.ts';

const chunkRows = 1024;

/** Logits of a chunk, at most. */
const chunkLogits = 2 ** 25;

/** Chunks, at most: each makes nodes of the graph, which executors take time for. */
const mostChunks = 64;

const number = (value: number): Tensor => constant(Float32Array.of(value), []);

/** A bias is one more column of the weight, read by one more feature that is always 1. */
const foldBias = (rows: Tensor, { weight, bias }: Dense): { readonly rows: Tensor; readonly weight: Tensor } =>
  bias
    ? {
        rows: concat(rows, broadcastTo(number(1), [rows.shape[0]!, 1]), { axis: 1 }),
        weight: concat(weight, reshape(bias, [-1, 1]), { axis: 1 }),
      }
    : { rows, weight };

/** −log p(label) of each row of logits [rows, classes]; labels i32 [rows], all within the classes. */
export const crossEntropies = (logits: Tensor, labels: Tensor): Tensor => {
  const [rows, classes] = logits.shape as readonly [number, number];
  const starts = constant(
    Int32Array.from({ length: rows }, (_, i) => i * classes),
    [rows],
  );
  return neg(gather(reshape(logSoftmax(logits), [-1]), add(starts, labels)));
};

/** (1 − ε)·(−log p(label)) + ε·mean over classes of −log p, of each row: transformers' `LabelSmoother`. */
export const smoothedCrossEntropies = (logits: Tensor, labels: Tensor, smoothing: number): Tensor => {
  const losses = crossEntropies(logits, labels);
  if (smoothing === 0) return losses;
  return sub(mul(losses, 1 - smoothing), mul(mean(logSoftmax(logits), { axes: [1] }), smoothing));
};

/** f32, 1 where a label counts: neither `ignoreIndex` nor outside [0, classes). */
export const countedLabels = (labels: Tensor, classes: number, ignoreIndex: number): Tensor => {
  const named = sub(number(1), equal(labels, constant(Int32Array.of(ignoreIndex), [])));
  const values = cast(labels, { dtype: 'f32' });
  return mul(named, mul(greaterEqual(values, 0), sub(1, greaterEqual(values, classes))));
};

/** A head, the rows that it reads and their labels. */
interface Labelled {
  readonly head: Linear;
  readonly features: Tensor;
  readonly labels: Tensor;
  readonly counted: Tensor;
  readonly call: Call;
}

/** Losses of rows of logits, 0 where no label counts, chunk by chunk of the tokens; logits are made again in the backward pass, or all at once where they depend on other rows. */
const byChunk = (
  { head, features, labels, counted, call }: Labelled,
  lossesOf: (logits: Tensor, labels: Tensor) => Tensor,
  of: (losses: Tensor) => Tensor,
): Tensor[] => {
  const [batch, tokens] = labels.shape as readonly [number, number];
  const perChunk = head.acrossRows
    ? tokens
    : Math.max(1, Math.floor(Math.min(chunkRows, chunkLogits / head.outDim) / batch), Math.ceil(tokens / mostChunks));
  const safe = mul(labels, cast(counted, { dtype: 'i32' }));
  return Array.from({ length: Math.ceil(tokens / perChunk) }, (_, i) => {
    const part = (t: Tensor): Tensor =>
      slice(t, { axis: 1, start: i * perChunk, end: Math.min(tokens, (i + 1) * perChunk) });
    return recomputed((x: Tensor) => {
      const logits = reshape(head.apply(x, call), [-1, head.outDim]);
      const losses = lossesOf(logits, reshape(part(safe), [-1]));
      return of(select(reshape(part(counted), [-1]), losses, number(0)));
    })(part(features));
  });
};

/** A head's weight, the rows that it reads, and its scales where it is codes. */
interface Fused {
  readonly rows: Tensor;
  readonly weight: Tensor;
  readonly scale: Tensor | null;
}

/** A head that the fused losses read as it is stored; null for any other. */
const fusedOf = (head: Linear, features: Tensor): Fused | null => {
  const rows = reshape(features, [-1, features.shape.at(-1)!]);
  const coded = codedRows(head);
  if (coded) return { rows, weight: coded.codes, scale: coded.scale };
  const stored = storedValues(head);
  return stored && { ...foldBias(rows, stored.bias ? head.dense() : stored), scale: null };
};

/**
 * Cross-entropy of a head's softmax over the labelled positions; features [batch, tokens, d], labels i32 [batch, tokens].
 * A plain head, of floats or of whole numbers, goes the fused way, where logits and their gradient exist chunk by chunk alone. An adapted or otherwise quantised head says its
 * function by `apply` only (dropout, 4-bit products): its logits are made chunk by chunk of the tokens and again in the backward pass, or
 * all at once where they depend on other rows.
 */
export const headLoss = (head: Linear, features: Tensor, labels: Tensor, ignoreIndex: number, call: Call): Loss => {
  const counted = countedLabels(labels, head.outDim, ignoreIndex);
  const weight = sum(counted);
  const fused = fusedOf(head, features);
  if (fused) {
    const { scale } = fused;
    const average = headCrossEntropy(fused.rows, fused.weight, reshape(labels, [-1]), { ignoreIndex, scale });
    return { sum: mul(average, weight), weight, mean: average };
  }
  const losses = byChunk({ head, features, labels, counted, call }, crossEntropies, (part) => sum(part));
  return { sum: losses.reduce((a, b) => add(a, b)), weight };
};

/** The loss of each label by itself, of the same shapes, by the same two ways. */
export const lossesByLabel = (
  head: Linear,
  features: Tensor,
  labels: Tensor,
  ignoreIndex: number,
  call: Call,
  { smoothing = 0, temperature = 1 }: LabelLossOptions = {},
): LabelLosses => {
  const counted = countedLabels(labels, head.outDim, ignoreIndex);
  const fused = smoothing === 0 && temperature === 1 ? fusedOf(head, features) : null;
  if (fused) {
    const { scale } = fused;
    const losses = headLabelLosses(fused.rows, fused.weight, reshape(labels, [-1]), { ignoreIndex, scale });
    return { losses: reshape(losses, labels.shape), counted };
  }
  const lossesOf = (logits: Tensor, own: Tensor): Tensor =>
    smoothedCrossEntropies(temperature === 1 ? logits : mul(logits, 1 / temperature), own, smoothing);
  const parts = byChunk({ head, features, labels, counted, call }, lossesOf, (part) =>
    reshape(part, [labels.shape[0]!, -1]),
  );
  return { losses: concatAll(parts, 1), counted };
};
