import type { Init, Scope, State } from '@peftjs/core';
import {
  add,
  cast,
  constant,
  div,
  floor,
  gather,
  mean,
  mul,
  reshape,
  type Shape,
  sign,
  sizeOf,
  slice,
  sqrt,
  stopGradient,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import { normalLevels } from './normal-levels.ts';

/** How a matrix is stored: in so many bits a value, and whether it is so already. */
export interface StoredBits {
  readonly bits: number;
  /** Whether its codes are fixed, and only its mean and deviation are trained. */
  readonly packed: boolean;
}

/** Beside the deviation, against one of 0. */
const epsilon = 1e-5;

/** Codes that a byte holds, the first in its lowest bits. */
const perByte = (bits: number): number => Math.floor(8 / bits);

/** The levels nearest to values: [n] -> [n]. */
const nearest = (values: Tensor, bits: number): Tensor => {
  const { levels, bounds } = normalLevels(bits);
  const half = bounds.map((_, i) => (levels[i + 1]! - levels[i]!) / 2);
  const sides = sign(
    sub(reshape(values, [sizeOf(values.shape), 1]), constant(Float32Array.from(bounds), [1, bounds.length])),
  );
  return reshape(sum(mul(sides, constant(Float32Array.from(half), [1, half.length])), { axes: [1] }), values.shape);
};

/** The levels of codes in bytes. */
const unpacked = (bytes: Tensor, shape: Shape, bits: number): Tensor => {
  const [count] = bytes.shape as readonly [number];
  const each = perByte(bits);
  const shares = Float32Array.from({ length: each }, (_, i) => 2 ** (-bits * i));
  const shifted = floor(mul(reshape(cast(bytes, { dtype: 'f32' }), [count, 1]), constant(shares, [1, each])));
  const codes = sub(shifted, mul(floor(mul(shifted, 2 ** -bits)), 2 ** bits));
  const own = slice(reshape(codes, [count * each]), { axis: 0, start: 0, end: sizeOf(shape) });
  const { levels } = normalLevels(bits);
  const table = constant(Float32Array.from(levels), [levels.length, 1]);
  return reshape(gather(table, cast(own, { dtype: 'i32' })), shape);
};

/**
 * A matrix σ·q((w − μ) / (σ + 10⁻⁵)) + μ with q the nearest level of a normal distribution, μ and σ the mean and the deviation (by n − 1) of w: what is trained is w, by a gradient that goes straight
 * through q. Packed it is codes, μ and σ, of which the two are trained.
 */
export const quantizedWeight = (own: Scope, name: string, shape: Shape, init: Init, as: StoredBits): Tensor => {
  const size = sizeOf(shape);
  if (as.packed) {
    const one: Init = () => Float32Array.of(1);
    const bytes = own.buffer(
      `${name}.codes`,
      [Math.ceil(size / perByte(as.bits))],
      () => new Uint8Array(Math.ceil(size / perByte(as.bits))),
      'u8',
    );
    return add(
      mul(unpacked(bytes, shape, as.bits), own.param(`${name}.deviation`, [1], one)),
      own.param(`${name}.mean`, [1], one),
    );
  }
  const weight = own.param(`${name}.weight`, shape, init);
  const middle = mean(weight, { axes: [0, 1] });
  const apart = sub(weight, middle);
  const deviation = sqrt(mul(sum(mul(apart, apart), { axes: [0, 1] }), 1 / Math.max(1, size - 1)));
  const standard = div(apart, add(deviation, epsilon));
  const straight = add(stopGradient(sub(nearest(standard, as.bits), standard)), standard);
  return add(mul(straight, deviation), middle);
};

/** The state with each named weight as codes, mean and deviation. */
export const packedState = (state: State, isQuantized: (name: string) => boolean, bits: number): State => {
  const { bounds } = normalLevels(bits);
  const each = perByte(bits);
  const all = [...state].flatMap(([name, tensor]): [string, typeof tensor][] => {
    if (!isQuantized(name)) return [[name, tensor]];
    const values = tensor.data as Float32Array;
    const middle = values.reduce((a, b) => a + b, 0) / values.length;
    const squares = values.reduce((n, v) => n + (v - middle) ** 2, 0);
    const deviation = Math.sqrt(squares / Math.max(1, values.length - 1));
    const bytes = new Uint8Array(Math.ceil(values.length / each));
    for (const [i, v] of values.entries()) {
      const code = bounds.filter((bound) => (v - middle) / (deviation + epsilon) > bound).length;
      bytes[Math.floor(i / each)]! |= code << (bits * (i % each));
    }
    const stem = name.slice(0, -'.weight'.length);
    return [
      [`${stem}.codes`, { shape: [bytes.length], data: bytes }],
      [`${stem}.deviation`, { shape: [1], data: Float32Array.of(deviation) }],
      [`${stem}.mean`, { shape: [1], data: Float32Array.of(middle) }],
    ];
  });
  return new Map(all);
};
