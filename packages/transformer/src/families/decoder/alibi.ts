import { bfloat16ToFloat32, float32ToBfloat16 } from '@peftjs/io';
import {
  add,
  cast,
  constant,
  floor,
  gather,
  greater,
  greaterEqual,
  matmul,
  mul,
  reshape,
  sub,
  sum,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import type { AttendOptions } from '../../forward.ts';
import { counting, upTo } from '../../position-rows.ts';

/** The slopes of n heads: 2^(−8i/n) for the i-th, from 1 on; where n is no power of two, those of the power below, then every other one of that above. */
const alibiSlopes = (heads: number): number[] => {
  const power = 2 ** Math.floor(Math.log2(heads));
  return Array.from({ length: heads }, (_, i) =>
    i < power ? 2 ** ((-8 * (i + 1)) / power) : 2 ** ((-4 * (2 * (i - power) + 1)) / power),
  );
};

/** The keys of a pass by their place, 0 for the last, −1 for the one before: f32 [1 or batch, keys]; those that the mask hides take none. */
const placesOf = (keys: number, mask: Tensor | null): Tensor => {
  if (mask) {
    const kept = greater(mask, 0.5);
    return sub(matmul(kept, upTo(keys, keys)), sum(kept, { axes: [1], keepDims: true }));
  }
  return constant(
    Float32Array.from({ length: keys }, (_, i) => i + 1 - keys),
    [1, keys],
  );
};

/**
 * Additions to scores, slope · place of the key, which a softmax takes as −slope · distance: [1 or batch, heads, 1, keys]. Made once for all layers of a
 * pass. Press, Smith & Lewis, 2021. https://arxiv.org/abs/2108.12409; transformers, `build_alibi_tensor` of BLOOM.
 */
export const alibi = (heads: number): NonNullable<AttendOptions['bias']> => {
  const slopes = constant(Float32Array.from(alibiSlopes(heads)), [1, heads, 1, 1]);
  const known = new Map<number, Tensor>();
  return (_, keys, __, ___, mask) => {
    const found = known.get(keys);
    if (found) return found;
    const places = placesOf(keys, mask);
    const bias = mul(reshape(places, [places.shape[0]!, 1, 1, keys]), slopes);
    known.set(keys, bias);
    return bias;
  };
};

/** The nearest number of eight significant bits. */
const coarse = (value: number): number => bfloat16ToFloat32(float32ToBfloat16(Float32Array.of(value)))[0]!;

/** Powers of two from 1 on. */
const powers = Array.from({ length: 22 }, (_, k) => 2 ** k);

/**
 * The same of numbers that a pass knows alone, 0 or from 1 to 2²² and of at most 24 bits: of those from 2ᵏ on whole multiples of 2ᵏ⁻⁷, the even one where two are
 * as near. All of it is exact in f32: powers of two are added up, and multiplied by.
 */
const coarsely = (x: Tensor): Tensor => {
  const reached = greaterEqual(reshape(x, [-1, 1]), constant(Float32Array.from(powers), [powers.length]));
  const added = (of: (power: number) => number): Tensor => {
    const values = constant(Float32Array.from(powers, of), [powers.length, 1]);
    return reshape(matmul(reached, values), x.shape);
  };
  // 2ᵏ⁻⁷ and 2⁷⁻ᵏ as sums over the powers up to 2ᵏ, which is 1 at least.
  const step = added((power) => (power === 1 ? 2 : power) / 256);
  const multiples = mul(
    x,
    added((power) => (power === 1 ? 128 : -128 / power)),
  );
  const below = floor(multiples);
  const isOdd = sub(below, mul(floor(mul(below, 0.5)), 2));
  const above = greater(add(sub(multiples, below), mul(isOdd, 2 ** -17)), 0.5);
  return mul(add(below, above), step);
};

/** The slope of a head: `significand` · `power` of two, the first from 1 on and below 2. */
const partsOf = (slope: number): { readonly significand: number; readonly power: number } => {
  const power = 2 ** Math.floor(Math.log2(slope));
  return { significand: slope / power, power };
};

/** Rows of places 0 to keys − 1: f32 [1, keys, heads] where the mask hides none, else [batch, keys, heads], hidden keys at place 0. */
const placed = (table: Tensor, keys: number, mask: Tensor | null): Tensor => {
  const [, heads] = table.shape as readonly [number, number];
  if (!mask) return reshape(table, [1, keys, heads]);
  const kept = greater(mask, 0.5);
  const places = mul(sub(matmul(kept, upTo(keys, keys)), 1), kept);
  return gather(table, cast(places, { dtype: 'i32' }));
};

/**
 * The same as Falcon has it: the place of a key, from 0 on, the slope and their product are numbers of bf16, and the product is scaled by 1/√headDim as scores
 * are. transformers, `build_alibi_tensor` of Falcon, which rounds whatever the model's precision.
 */
export const coarseAlibi = (heads: number, headDim: number): NonNullable<AttendOptions['bias']> => {
  const slopes = alibiSlopes(heads).map((slope) => partsOf(coarse(slope)));
  const row = (of: (slope: (typeof slopes)[number]) => number): Tensor =>
    constant(Float32Array.from(slopes, of), [heads]);
  const known = new Map<number, Tensor>();
  return (_, keys, __, ___, mask) => {
    const found = known.get(keys);
    if (found) return found;
    const products = coarsely(
      mul(
        coarsely(reshape(counting(keys), [keys, 1])),
        row((slope) => slope.significand),
      ),
    );
    const scaled = mul(
      products,
      row(({ power }) => power / Math.sqrt(headDim)),
    );
    const byKey = placed(scaled, keys, mask);
    const bias = reshape(transpose(byKey, [0, 2, 1]), [byKey.shape[0]!, heads, 1, keys]);
    known.set(keys, bias);
    return bias;
  };
};
