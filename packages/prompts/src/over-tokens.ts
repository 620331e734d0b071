import {
  broadcastTo,
  cast,
  constant,
  div,
  equal,
  less,
  matmul,
  max,
  maximum,
  mean,
  mul,
  reshape,
  select,
  slice,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';

/** Of rows [batch, rows, d] those of the pass's tokens, without what methods put in front: [batch, tokens, d]. */
export const tokenRows = (x: Tensor, { sequence: { tokens } }: Call): Tensor => {
  const rows = x.shape[1]!;
  return rows === tokens ? x : slice(x, { axis: 1, start: rows - tokens, end: rows });
};

/** The positions of a pass's tokens: i32 [tokens] or [batch, tokens]. */
export const positionsOf = ({ sequence: { positions, tokens } }: Call): Tensor =>
  positions ??
  constant(
    Int32Array.from({ length: tokens }, (_, t) => t),
    [tokens],
  );

/** f32 [batch, tokens, 1], 1 where a token counts and 0 where padding hides it; null where all count. */
export const shownTokens = ({ pass, sequence: { mask, tokens, continues } }: Call): Tensor | null =>
  mask && !continues
    ? reshape(slice(mask, { axis: 1, start: mask.shape[1]! - tokens, end: mask.shape[1]! }), [pass.batch, tokens, 1])
    : null;

/** The mean of a sequence's tokens: [batch, 1, d] of rows [batch, rows, d]. What padding hides does not count, nor do rows in front. */
export const meanOfTokens = (x: Tensor, call: Call): Tensor => {
  const [own, shown] = [tokenRows(x, call), shownTokens(call)];
  if (!shown) return mean(own, { axes: [1], keepDims: true });
  const total = sum(mul(own, shown), { axes: [1], keepDims: true });
  return div(total, maximum(sum(shown, { axes: [1], keepDims: true }), 1));
};

/** The largest value of each feature among a sequence's tokens: [batch, 1, d]. */
export const maxOfTokens = (x: Tensor, call: Call): Tensor => {
  const [own, shown] = [tokenRows(x, call), shownTokens(call)];
  const lowest = constant(Float32Array.of(-1e30), []);
  return max(shown ? select(broadcastTo(shown, own.shape), own, lowest) : own, { axes: [1], keepDims: true });
};

/**
 * f32 [batch, tokens, 1], 1 at a sequence's last token of those that are shown: that of the largest position where the caller gave them, so that files of free sizes can say it; where he did not, or where texts
 * lie behind one another and positions begin anew, the one with no other behind it.
 */
const isLast = (shown: Tensor, { pass, sequence: { positions } }: Call): Tensor => {
  const tokens = shown.shape[1]!;
  if (positions && !pass.inputs['documents']) {
    const places = reshape(cast(positions, { dtype: 'f32' }), [-1, tokens, 1]);
    const own = select(shown, broadcastTo(places, shown.shape), constant(Float32Array.of(-1), []));
    return mul(shown, equal(own, max(own, { axes: [1], keepDims: true })));
  }
  const after = constant(
    Float32Array.from({ length: tokens * tokens }, (_, i) => Number(i % tokens > Math.floor(i / tokens))),
    [tokens, tokens],
  );
  return mul(shown, less(matmul(after, shown), 0.5));
};

/** The last of a sequence's tokens that no padding hides: [batch, 1, d] of rows [batch, rows, d]. */
export const lastToken = (x: Tensor, call: Call): Tensor => {
  const [own, shown] = [tokenRows(x, call), shownTokens(call)];
  const tokens = own.shape[1]!;
  if (!shown) return slice(own, { axis: 1, start: tokens - 1, end: tokens });
  return sum(mul(own, isLast(shown, call)), { axes: [1], keepDims: true });
};
