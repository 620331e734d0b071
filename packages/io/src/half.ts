/**
 * Arrays of 16-bit floats and their bits. Node 20 has no `Float16Array`, so f16 (IEEE 754 binary16) and bf16 (the upper
 * half of an f32) are kept as `Uint16Array`s. All four conversions keep signs, infinities and the payload of a NaN, so
 * 16 bits -> f32 -> 16 bits is the identity on all 65,536 patterns.
 */

const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer, values.byteOffset, values.length);

/**
 * f16 bits to f32, exactly.
 *
 * `target` may share its buffer with `source` if the source fills the last half of it: going forward, no half is
 * overwritten before it was read. That converts a tensor without a second copy in memory.
 */
export const halfToFloat32 = (
  source: Uint16Array,
  target: Float32Array = new Float32Array(source.length),
): Float32Array => {
  const bits = bitsOf(target);
  for (let i = 0; i < source.length; i++) {
    const half = source[i]!;
    const sign = (half & 0x8000) << 16;
    const rest = half & 0x7fff;
    if (rest >= 0x7c00) bits[i] = sign | 0x7f800000 | ((rest & 0x3ff) << 13);
    else if (rest >= 0x0400) bits[i] = sign | ((rest << 13) + 0x38000000);
    else {
      target[i] = rest * 2 ** -24;
      bits[i]! |= sign;
    }
  }
  return target;
};

/** bf16 bits to f32, exactly. `target` may share its buffer with `source` as in `halfToFloat32`. */
export const bfloat16ToFloat32 = (
  source: Uint16Array,
  target: Float32Array = new Float32Array(source.length),
): Float32Array => {
  const bits = bitsOf(target);
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
  return target;
};

/** f32 to the bits of the nearest f16, ties to even; beyond 65,519 the nearest is infinity. */
export const float32ToHalf = (source: Float32Array): Uint16Array => {
  const bits = bitsOf(source);
  const target = new Uint16Array(source.length);
  for (let i = 0; i < target.length; i++) {
    const sign = (bits[i]! >>> 16) & 0x8000;
    const rest = bits[i]! & 0x7fffffff;
    target[i] = sign | roundToHalf(rest);
  }
  return target;
};

const roundToHalf = (rest: number): number => {
  // A NaN whose payload lies only in the 13 bits that are dropped would turn into infinity.
  if (rest > 0x7f800000) return 0x7c00 | ((rest >>> 13) & 0x3ff || 0x200);
  if (rest >= 0x47800000) return 0x7c00;
  if (rest >= 0x38800000) return (rest - 0x38000000 + 0xfff + ((rest >>> 13) & 1)) >>> 13;
  const shift = 126 - (rest >>> 23);
  if (shift > 24) return 0;
  const fraction = (rest & 0x7fffff) | 0x800000;
  const kept = fraction >>> shift;
  const dropped = fraction & ((1 << shift) - 1);
  const middle = 1 << (shift - 1);
  return dropped > middle || (dropped === middle && kept & 1) ? kept + 1 : kept;
};

/** f32 to the bits of the nearest bf16, ties to even. */
export const float32ToBfloat16 = (source: Float32Array): Uint16Array => {
  const bits = bitsOf(source);
  const target = new Uint16Array(source.length);
  for (let i = 0; i < target.length; i++) {
    const value = bits[i]!;
    if ((value & 0x7fffffff) > 0x7f800000) target[i] = (value >>> 16) | (value & 0x7f0000 ? 0 : 0x40);
    else target[i] = (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
  return target;
};
