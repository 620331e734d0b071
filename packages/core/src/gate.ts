import {
  broadcastTo,
  concat,
  constant,
  div,
  maximum,
  mean,
  mul,
  reshape,
  sigmoid,
  slice,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import { affine, type Call } from '@peftjs/transformer';
import { normal, zeros } from './init.ts';
import type { Scope } from './method.ts';

/** How far a contribution counts in each sequence: [batch, 1, outputs] of x [batch, rows, inDim]. */
export type Gate = (x: Tensor, call: Call) => Tensor;

/**
 * 1 for each row of x [batch, rows, …] that counts, 0 for what padding hides: [batch, rows, 1]; null where all do. Rows that methods put in front count, as does all that
 * continues a cache.
 */
export const countedRows = (x: Tensor, { sequence: { mask, continues } }: Call): Tensor | null => {
  if (!mask || continues) return null;
  const [batch, rows] = x.shape as readonly [number, number];
  const known = Math.min(rows, mask.shape[1]!);
  const own = slice(mask, { axis: 1, start: 0, end: known });
  const ones = broadcastTo(constant(Float32Array.of(1), []), [batch, rows - known]);
  return reshape(known === rows ? own : concat(ones, own, { axis: 1 }), [batch, rows, 1]);
};

/** Over the rows of x: what padding hides does not count. */
const meanOverRows = (x: Tensor, call: Call): Tensor => {
  const weights = countedRows(x, call);
  if (!weights) return mean(x, { axes: [-2], keepDims: true });
  const total = sum(mul(x, weights), { axes: [-2], keepDims: true });
  return div(total, maximum(sum(weights, { axes: [-2], keepDims: true }), 1));
};

/**
 * G = mean over a sequence's tokens of σ(W·x + b), as adapter-hub/adapters has it: `<name>.weight` [outputs, inDim] from N(0, 0.02²) and
 * `<name>.bias`, zero, so that it starts half open. It sees the whole sequence, so what comes later changes what came before; and the tokens
 * given at once: a prompt, then each new token by itself when a cache is continued.
 * Mao et al., 2022 (UniPELT). https://arxiv.org/abs/2110.07577
 */
export const meanGate = (scope: Scope, name: string, inDim: number, outputs = 1): Gate => {
  const weight = scope.param(`${name}.weight`, [outputs, inDim], normal(0.02));
  const bias = scope.param(`${name}.bias`, [outputs], zeros);
  return (x, call) => meanOverRows(sigmoid(affine(x, { weight, bias })), call);
};
