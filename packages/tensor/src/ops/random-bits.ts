import { defineOp, type Op } from '../define-op.ts';
import { PeftError } from '../error.ts';
import { constant, type Tensor } from '../graph.ts';
import { type Shape, shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';

/** The shape of the result, and which of 2³² independent streams of a seed it is taken from. */
export interface RandomAttrs {
  readonly shape: Shape;
  readonly stream: number;
}

/** Wellons's integer hash. */
const lowbias32 = (value: number): number => {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
};

const isStream = (n: number): boolean => Number.isInteger(n) && n >= 0 && n < 2 ** 32;

/** The record behind `randomBits`. */
export const randomBitsOp: Op<'random_bits', readonly ['seed'], readonly [], RandomAttrs> = defineOp({
  name: 'random_bits',
  inputs: ['seed'],
  infer: ({ seed }, { shape, stream }) => {
    accepts('randomBits', 'seed', seed, ['u32']);
    if (seed.shape.length > 0) throw shapeError('randomBits', [seed], 'the seed must be a scalar');
    if (!isStream(stream))
      throw new PeftError('bad-option', `randomBits: stream is ${stream}, expected an integer in [0, 2³²)`);
    return { shape, dtype: 'u32' as const };
  },
  vjp: 'none',
  reference: ({ seed }, { out }, { stream }) => {
    const key = lowbias32(Math.imul(stream, 0x9e3779b9) + lowbias32(seed[0]!));
    return Float64Array.from({ length: sizeOf(out.shape) }, (_, i) => lowbias32(i + key));
  },
  flops: () => 0,
  samples: [
    {
      shapes: { seed: [] },
      attrs: { shape: [3, 257], stream: 0 },
      dtypes: { seed: 'u32' },
      values: { seed: () => 1234 },
    },
    {
      shapes: { seed: [] },
      attrs: { shape: [], stream: 7 },
      dtypes: { seed: 'u32' },
      values: { seed: () => 2 ** 32 - 1 },
    },
    {
      shapes: { seed: [] },
      attrs: { shape: [5], stream: 2 ** 32 - 1 },
      dtypes: { seed: 'u32' },
      values: { seed: () => 0 },
    },
    { shapes: { seed: [] }, attrs: { shape: [0, 2], stream: 1 }, dtypes: { seed: 'u32' } },
  ],
});

/**
 * Random u32 that depend on seed, stream and position alone, the same on every executor:
 * h(position + h(stream · 0x9E3779B9 + h(seed))), h being Chris Wellons's lowbias32, 2018. https://nullprogram.com/blog/2018/07/31/
 * The seed is a u32 scalar: an input that changes every step, or a number fixed in the graph. Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const randomBits = (seed: Tensor | number, attrs: RandomAttrs): Tensor =>
  randomBitsOp(typeof seed === 'number' ? constant(Uint32Array.of(seed), []) : seed, attrs);
