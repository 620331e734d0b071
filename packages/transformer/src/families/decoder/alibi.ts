import { bfloat16ToFloat32, float32ToBfloat16 } from '@peftjs/io';
import { cast, constant, gather, greater, matmul, mul, reshape, sub, type Tensor, transpose } from '@peftjs/tensor';
import type { AttendOptions } from '../../forward.ts';
import { upTo } from '../../position-rows.ts';

/** The slopes of n heads: 2^(−8i/n) for the i-th, from 1 on; where n is no power of two, those of the power below, then every other one of that above. */
const alibiSlopes = (heads: number): number[] => {
  const power = 2 ** Math.floor(Math.log2(heads));
  return Array.from({ length: heads }, (_, i) =>
    i < power ? 2 ** ((-8 * (i + 1)) / power) : 2 ** ((-4 * (2 * (i - power) + 1)) / power),
  );
};

/** The keys of a pass by their place, 0 for the last, −1 for the one before: f32 [1 or batch, keys]; those that the mask hides take none. */
const placesOf = (keys: number, mask: Tensor | null): Tensor => {
  if (mask) return sub(matmul(greater(mask, 0.5), upTo(keys, keys)), keys);
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
  const slopes = alibiSlopes(heads).map(coarse);
  const known = new Map<number, Tensor>();
  return (_, keys, __, ___, mask) => {
    const found = known.get(keys);
    if (found) return found;
    const values = Float32Array.from(
      { length: keys * heads },
      (_, i) => coarse(slopes[i % heads]! * coarse(Math.floor(i / heads))) / Math.sqrt(headDim),
    );
    const byKey = placed(constant(values, [keys, heads]), keys, mask);
    const bias = reshape(transpose(byKey, [0, 2, 1]), [byKey.shape[0]!, heads, 1, keys]);
    known.set(keys, bias);
    return bias;
  };
};
