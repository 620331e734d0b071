import { add, broadcastTo, concat, constant, mul, reshape, slice, type Tensor } from '@peftjs/tensor';
import { type Activation, activations } from '../../activation.ts';
import { widenMask } from '../../attend.ts';
import type { Forward } from '../../forward.ts';
import type { Path } from '../../sites.ts';

/** A convolution beside the first block: each row is made of those around it, too. */
export interface Convolution {
  /** Rows that one is made of: odd, itself in the middle. */
  readonly kernel: number;
  readonly activation: Activation;
}

/** Its modules. */
export interface ConvolutionPaths {
  /** The layer over `kernel` rows: [d, d · kernel], inputs by value, then by row; files hold it as [d, d, kernel]. */
  readonly layer: Path;
  /** The norm of the sum. */
  readonly norm: Path;
}

/** x [batch, rows, d] with what padding hides at 0. */
const withoutPadding = (x: Tensor, { layer }: ConvolutionPaths, { sequence, moved }: Forward): Tensor => {
  const [batch, rows] = x.shape as readonly [number, number, number];
  const size = { keys: rows, added: rows - sequence.tokens };
  const mask = widenMask(sequence.mask, batch, moved.present ?? null, size, layer);
  return mask ? mul(x, reshape(mask, [batch, rows, 1])) : x;
};

/** Row t of x so many rows later, or before where they are less than 0; zeros beyond its ends. */
const moved = (x: Tensor, by: number): Tensor => {
  const [batch, rows, width] = x.shape as readonly [number, number, number];
  const far = Math.min(Math.abs(by), rows);
  if (far === 0) return x;
  const none = broadcastTo(constant(Float32Array.of(0), []), [batch, far, width]);
  if (far === rows) return none;
  return by > 0
    ? concat(slice(x, { axis: 1, start: far, end: rows }), none, { axis: 1 })
    : concat(none, slice(x, { axis: 1, start: 0, end: rows - far }), { axis: 1 });
};

/**
 * LayerNorm(y + act(conv(x))) of the rows x [batch, rows, d] that a block reads and those that it makes, y. Rows of padding count as zeros.
 * He et al., 2021. https://arxiv.org/abs/2006.03654 (appendix A.4); transformers, `ConvLayer` of `modeling_deberta_v2.py`.
 */
export const convolved = (
  { kernel, activation }: Convolution,
  paths: ConvolutionPaths,
  x: Tensor,
  y: Tensor,
  forward: Forward,
): Tensor => {
  const [batch, rows, width] = x.shape as readonly [number, number, number];
  const kept = withoutPadding(x, paths, forward);
  const side = (kernel - 1) / 2;
  const taps = Array.from({ length: kernel }, (_, j) => reshape(moved(kept, j - side), [batch, rows, width, 1]));
  const around = taps.reduce((all, tap) => concat(all, tap, { axis: 3 }));
  const made = forward.linear(paths.layer, reshape(around, [batch, rows, width * kernel]));
  return forward.norm(paths.norm, add(y, activations[activation](made)));
};
