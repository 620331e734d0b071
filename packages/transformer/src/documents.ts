import {
  broadcastTo,
  cast,
  concat,
  constant,
  describe,
  equal,
  mul,
  PeftError,
  reshape,
  sameShape,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { PassOptions } from './model.ts';
import type { Inputs } from './states.ts';
import type { TowerSpec } from './tower-spec.ts';

/** Several documents in a row, which don't see each other. */
export interface Documents {
  /** i32 [batch, tokens]: the place of each token in its document. */
  readonly positions: Tensor;
  /** f32 [batch, 1, tokens, keys], 1 where a query and a key are of one document, or the key stands in front of the tokens. */
  sees(keys: number): Tensor;
}

/** f32 [tokens, tokens], 1 below the diagonal: which tokens come before each. */
const earlier = (tokens: number): Tensor =>
  constant(
    Float32Array.from({ length: tokens * tokens }, (_, i) => Number(i % tokens < Math.floor(i / tokens))),
    [tokens, tokens],
  );

/** Ones in front along an axis. */
const inFront = (x: Tensor, axis: number, count: number): Tensor => {
  if (count === 0) return x;
  const shape = x.shape.map((size, i) => (i === axis ? count : size));
  return concat(broadcastTo(constant(Float32Array.of(1), []), shape), x, { axis });
};

const refuse = (why: string): never => {
  throw new PeftError('bad-option', `model: documents, which keep the texts of a row apart, ${why}`);
};

/**
 * The documents of a pass by its input `documents`, i32 [batch, tokens]: tokens with the same number are of one document and see each other, and its first
 * has position 0. Null where the pass has no such input. Throws `bad-option` for towers that can't keep them apart (those that attend to
 * later tokens, or beside another tower) and beside a cache or given positions; `bad-shape`.
 */
export const documentsOf = (
  { reads, attends }: TowerSpec,
  inputs: Inputs,
  options: PassOptions,
  isAlone: boolean,
): Documents | null => {
  const numbers = inputs['documents'];
  if (!numbers) return null;
  if (attends !== 'before' || !isAlone) return refuse('need a decoder that stands alone; give rows of one text each');
  if (options.cache || options.positions) return refuse('are for training: give no cache and no positions');
  const shape = inputs[reads.ids]!.shape as readonly [number, number];
  if (numbers.dtype !== 'i32' || !sameShape(numbers.shape, shape))
    throw new PeftError('bad-shape', `documents: got ${describe(numbers)}; they must be i32 [${shape.join(', ')}]`);
  const [batch, tokens] = shape;
  const same = equal(reshape(numbers, [batch, tokens, 1]), reshape(numbers, [batch, 1, tokens])); // f32 [batch, tokens, tokens]
  const known = new Map<number, Tensor>();
  return {
    positions: cast(sum(mul(same, earlier(tokens)), { axes: [2] }), { dtype: 'i32' }),
    sees: (keys) => {
      const found = known.get(keys) ?? reshape(inFront(same, 2, keys - tokens), [batch, 1, tokens, keys]);
      known.set(keys, found);
      return found;
    },
  };
};

/** Keys or values [batch, heads, keys, headDim] with each head as often as queries share it. */
export const perQueryHead = (x: Tensor, heads: number): Tensor => {
  const [batch, own, keys, width] = x.shape as readonly [number, number, number, number];
  if (own === heads) return x;
  const shape = [batch, own, heads / own, keys, width];
  return reshape(broadcastTo(reshape(x, [batch, own, 1, keys, width]), shape), [batch, heads, keys, width]);
};
