import { add, cast, constant, maximum, minimum, reshape, sub, type Tensor } from '@peftjs/tensor';

const counted = (count: number): Tensor =>
  constant(
    Float32Array.from({ length: count }, (_, i) => i),
    [count],
  );

/**
 * i32 [queries · keys]: how many rows after each query each key lies, at most `most` either way, plus `most`: the place in a list of 2·most + 1 distances. The last keys are the queries'. Made in the
 * graph of numbers that count, which a file of free sizes can hold, as it can no table of all pairs.
 */
export const placesByDistance = (queries: number, keys: number, most: number): Tensor => {
  const apart = sub(reshape(counted(keys), [1, keys]), reshape(counted(queries), [queries, 1]));
  const moved = queries === keys ? apart : sub(apart, keys - queries);
  const places = add(minimum(maximum(moved, -most), most), most);
  return cast(reshape(places, [queries * keys]), { dtype: 'i32' });
};
