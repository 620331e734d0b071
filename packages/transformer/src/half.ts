import { float32ToHalf } from '@peftjs/io';
import { cast, isVariable, PeftError, type Tensor, type TypedArray, type Variable, variable } from '@peftjs/tensor';
import { hostValues, type Node } from '@peftjs/tensor/executor';

const widened = new WeakMap<Node, Tensor>();
const stored = new WeakMap<Node, Variable>();

/** The tensor that a layer keeps its values in, where that is f16: the tensor itself, or the one that `asFloats` made it of; null for others. */
export const halfBehind = (t: Tensor): Variable | null => {
  const half = t.dtype === 'f16' && isVariable(t) ? t : stored.get(t.node);
  return half ?? null;
};

/** A tensor's values in f32: one and the same tensor each time, so that shared weights stay shared. */
export const asFloats = (t: Tensor): Tensor => {
  const half = halfBehind(t);
  if (!half) return t;
  const known = widened.get(half.node) ?? cast(half, { dtype: 'f32' });
  widened.set(half.node, known);
  stored.set(known.node, half);
  return known;
};

/** The bits of the nearest f16. Throws `bad-option` for a value beyond its range. */
const halfBits = (name: string, values: Float32Array): Uint16Array => {
  const bits = float32ToHalf(values);
  let overflow = 0;
  while (overflow < bits.length && !((bits[overflow]! & 0x7fff) === 0x7c00 && Number.isFinite(values[overflow])))
    overflow++;
  if (overflow === bits.length) return bits;
  throw new PeftError(
    'bad-option',
    `${name} holds ${values[overflow]}, too large for f16, whose largest value is 65,504; keep it as f32: loadModel(dir, { dtype: 'f32' })`,
  );
};

const reasons = { computed: 'is computed', written: 'has been trained or written since it was made' } as const;

/** Values that the host has (an array, a file), kept as f16. Throws `bad-option` for computed or trained ones, and for values beyond its range. */
export const asHalf = (name: string, t: Tensor): Variable => {
  const half = halfBehind(t);
  if (half) return half;
  const load = hostValues(
    t,
    (why) =>
      new PeftError(
        'bad-option',
        `${name} ${reasons[why]}, so it cannot be rounded to f16 on the host; use denseLinear`,
      ),
  );
  const bits = async (): Promise<TypedArray> => halfBits(name, (await load()) as Float32Array);
  return variable(name, t.shape, bits, 'f16');
};
