import type { HostInit, Scope } from '@peftjs/core';
import {
  add,
  cast,
  concat,
  constant,
  gather,
  mul,
  normalValues,
  type Random,
  randomSource,
  reshape,
  rsqrt,
  type Shape,
  slice,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import { walshHadamard } from './walsh-hadamard.ts';

type Draw = (shape: Shape, random: Random) => Float32Array;

const signs: Draw = ([n], random) => Float32Array.from({ length: n! }, () => (random() < 0.5 ? -1 : 1));
const normals: Draw = ([n], random) => normalValues(n!, 1, random);

/** f32 holds whole numbers up to 2²⁴ alone, so places stand as multiples of this and a rest. */
const radix = 4096;

/** A random order of so many places, [2, n]. Fisher & Yates, 1938. */
const permutation: Draw = ([, n], random) => {
  const order = Int32Array.from({ length: n! }, (_, i) => i);
  for (let i = n! - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return Float32Array.from({ length: 2 * n! }, (_, i) =>
    i < n! ? Math.floor(order[i]! / radix) : order[i - n!]! % radix,
  );
};

/** The first `size` values, zeros behind them where there are fewer. */
export const fitted = (t: Tensor, size: number): Tensor => {
  const own = t.shape[0]!;
  if (own === size) return t;
  if (own > size) return slice(t, { axis: 0, start: 0, end: size });
  return concat(t, constant(new Float32Array(size - own), [size - own]), { axis: 0 });
};

/** Fixed random values of a projection. */
export interface DrawnOptions {
  /** The beginning of the tensors' names. */
  readonly name: string;
  /** A word by which the values are other than those of other projections of a seed. */
  readonly salt: string;
  readonly seed: number;
  /** Whether they are saved; else they are drawn again. */
  readonly save: boolean;
}

const drawn = (
  own: Scope,
  { name, salt, seed, save }: DrawnOptions,
  part: string,
  shape: Shape,
  init: Draw,
): Tensor => {
  const seeded: HostInit = (of) => init(of, randomSource(seed, `${salt}.${name}_${part}`));
  return save ? own.buffer(`${name}_${part}`, shape, seeded) : own.running(`${name}_${part}`, shape, seeded);
};

/** Values in a fixed random order, of a vector of so many. */
export const shuffled = (own: Scope, size: number, options: DrawnOptions): ((x: Tensor) => Tensor) => {
  const order = drawn(own, options, 'P', [2, size], permutation);
  const part = (at: 0 | 1): Tensor => cast(slice(order, { axis: 0, start: at, end: at + 1 }), { dtype: 'i32' });
  return (x) => {
    const places = reshape(add(mul(part(0), constant(Int32Array.of(radix), [1])), part(1)), [size]);
    return reshape(gather(reshape(x, [size, 1]), places), [size]);
  };
};

/**
 * A fixed random projection of a vector to n values by Fastfood, H·G·Π·H·B·x / (√(Σg²)·√n): H Hadamard's matrix, B signs, Π a permutation, G = diag(g) with g from N(0, 1), of the length that is a power of two and holds both. Le, Sarlós & Smola, 2013.
 * https://arxiv.org/abs/1408.3060
 */
export const fastfood = (own: Scope, size: number, options: DrawnOptions): ((x: Tensor) => Tensor) => {
  const length = 2 ** Math.ceil(Math.log2(size));
  const b = drawn(own, options, 'B', [length], signs);
  const shuffle = shuffled(own, length, options);
  const g = drawn(own, options, 'G', [length], normals);
  return (x) => {
    const mixed = shuffle(walshHadamard(mul(fitted(x, length), b)));
    const second = fitted(walshHadamard(mul(mixed, g)), size);
    return mul(second, mul(rsqrt(sum(mul(g, g))), 1 / Math.sqrt(size)));
  };
};
