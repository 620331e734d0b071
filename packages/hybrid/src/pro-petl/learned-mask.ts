import { type Compacted, kaimingUniform, type Method, type Scope, type State, zeros } from '@peftjs/core';
import {
  abs,
  add,
  cast,
  constant,
  floor,
  greaterEqual,
  mul,
  reshape,
  type Shape,
  sizeOf,
  slice,
  stopGradient,
  sub,
  type Tensor,
  topK,
} from '@peftjs/tensor';

/** The masks of a layer: learned by scores, or bits that an earlier training left. */
export interface MaskOptions {
  /** The share of a prototype's values that a mask keeps. */
  readonly keep: number;
  /** Multiplies the learning rate of the scores. */
  readonly maskRate: number;
  /** Whether the masks are bits, and trained no more. */
  readonly fixed: boolean;
}

/** How many of some values a mask keeps, as the authors' code rounds. */
const keptOf = (size: number, keep: number): number => size - Math.floor((1 - keep) * size);

/** Eight values of 0 and 1 of each byte, the lowest bit first, as a mask of a shape. */
const unpacked = (bytes: Tensor, shape: Shape): Tensor => {
  const size = sizeOf(shape);
  const [count] = bytes.shape as readonly [number];
  const powers = constant(
    Float32Array.from({ length: 8 }, (_, i) => 2 ** -i),
    [8],
  );
  const shifted = floor(mul(reshape(cast(bytes, { dtype: 'f32' }), [count, 1]), powers)); // [count, 8]
  const bits = sub(shifted, mul(floor(mul(shifted, 0.5)), 2));
  return reshape(slice(reshape(bits, [count * 8]), { axis: 0, start: 0, end: size }), shape);
};

/**
 * A mask m ∈ {0, 1} of a prototype's values: 1 where |s| is among the largest, s trained scores from U(−1/√n, 1/√n). The gradient passes to |s|
 * straight through. Fixed it is bits, eight to a byte.
 */
export const learnedMask = (own: Scope, name: string, shape: Shape, { keep, maskRate, fixed }: MaskOptions): Tensor => {
  const size = sizeOf(shape);
  if (fixed) return unpacked(own.buffer(`${name}_bits`, [Math.ceil(size / 8)], zeros, 'u8'), shape);
  const scores = own.param(`${name}_mask`, shape, kaimingUniform, { rate: maskRate, decay: false });
  const magnitudes = abs(scores);
  const kept = keptOf(size, keep);
  const [largest] = topK(reshape(stopGradient(magnitudes), [size]), { k: kept });
  const least = slice(largest, { axis: 0, start: kept - 1, end: kept });
  const mask = cast(greaterEqual(magnitudes, least), { dtype: 'f32' });
  return add(stopGradient(sub(mask, magnitudes)), magnitudes);
};

/** A state whose scores have become bits. */
const withBits = (state: State, keep: number): State =>
  new Map(
    [...state].map(([name, tensor]): [string, typeof tensor] => {
      if (!name.endsWith('_mask')) return [name, tensor];
      const { data } = tensor;
      const order = Array.from(data.keys()).sort((i, j) => Math.abs(data[j]!) - Math.abs(data[i]!));
      const bytes = new Uint8Array(Math.ceil(data.length / 8));
      for (const i of order.slice(0, keptOf(data.length, keep))) bytes[i >> 3]! |= 1 << (i & 7);
      return [name.replace(/_mask$/, '_bits'), { shape: [bytes.length], data: bytes }];
    }),
  );

/** The result of `compact` of a method whose masks are learned: the prototypes and bits. */
export const compactMasks = <O extends MaskOptions>(
  make: (options: O) => Method,
  options: O,
  state: State,
): Compacted =>
  options.fixed
    ? { method: make(options), state }
    : { method: make({ ...options, fixed: true }), state: withBits(state, options.keep) };
