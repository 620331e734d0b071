import {
  add,
  constant,
  div,
  equal,
  exp,
  greater,
  log,
  logSoftmax,
  matmul,
  max,
  maximum,
  mean,
  mul,
  reshape,
  rsqrt,
  select,
  stopGradient,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';

/** Far below every score, so that a softmax gives it no share. */
const hidden = 1e30;

/** Rows divided by their length. */
const unit = (x: Tensor): Tensor => mul(x, rsqrt(maximum(sum(mul(x, x), { axes: [1], keepDims: true }), 1e-24)));

/** Cosines of rows of both, divided by the temperature τ. */
const scoresOf = (a: Tensor, b: Tensor, temperature: number): Tensor =>
  mul(matmul(unit(a), unit(b), { transposeB: true }), 1 / temperature);

/**
 * The loss of telling texts of other tasks from those of one's own: the mean over texts i that are not alone of their task in the batch of −mean_j log(exp(s_ij) / Σ_{k≠i} exp(s_ik)) over the others j of that task,
 * s the cosines of features [batch, e] over τ; 0 where every text is alone. `tasks` i32 [batch]. Shape [].
 */
export const instanceLoss = (features: Tensor, tasks: Tensor, temperature: number): Tensor => {
  const rows = features.shape[0]!;
  const self = constant(
    Float32Array.from({ length: rows * rows }, (_, i) => (i % (rows + 1) === 0 ? 1 : 0)),
    [rows, rows],
  );
  const scores = scoresOf(features, features, temperature);
  const logShares = logSoftmax(sub(scores, mul(self, hidden)));
  const alike = sub(equal(reshape(tasks, [rows, 1]), reshape(tasks, [1, rows])), self);
  const others = sum(alike, { axes: [1] });
  const each = div(sum(select(alike, logShares, 0), { axes: [1] }), maximum(others, 1));
  return div(mul(sum(each), -1), maximum(sum(greater(others, 0)), 1));
};

/**
 * The loss of telling the prototypes of other tasks from that of one's own: the mean over texts of −(s_it − log Σ_{k≠t} exp(s_ik)), t the text's task, s the cosines of features [batch, e] and prototypes [tasks, e] over τ. The sum is
 * over the others alone, as the authors' code has it. `tasks` i32 [batch]; there are two tasks or more. Shape [].
 */
export const prototypeLoss = (features: Tensor, prototypes: Tensor, tasks: Tensor, temperature: number): Tensor => {
  const count = prototypes.shape[0]!;
  const all = constant(
    Int32Array.from({ length: count }, (_, i) => i),
    [1, count],
  );
  const scores = scoresOf(features, prototypes, temperature);
  const own = equal(reshape(tasks, [-1, 1]), all);
  const others = sub(scores, mul(own, hidden));
  const top = stopGradient(max(others, { axes: [1], keepDims: true }));
  const together = add(top, log(sum(exp(sub(others, top)), { axes: [1], keepDims: true })));
  return mean(sub(together, sum(mul(own, scores), { axes: [1], keepDims: true })));
};
