import { cast, gather, type Tensor } from '@peftjs/tensor';
import { asFloats, halfBehind } from './half.ts';
import type { Call } from './pass.ts';

/** A table of rows looked up by token id. */
export interface Embedding {
  readonly rows: number;
  readonly dim: number;
  /** [rows, dim] */
  readonly weight: Tensor;
  /** Ids i32 [...] -> [..., dim]. */
  apply(ids: Tensor, call: Call): Tensor;
  /** An embedding of the same kind over another table. */
  encode(weight: Tensor): Embedding;
}

const plain = new WeakMap<Embedding, Tensor>();

/** An embedding that holds its table as it is: f32, or an f16 variable, of which `weight` gives the values in f32. */
export const denseEmbedding = (weight: Tensor): Embedding => {
  const table = halfBehind(weight) ?? weight;
  const embedding: Embedding = {
    rows: weight.shape[0]!,
    dim: weight.shape[1]!,
    weight: asFloats(weight),
    apply: (ids) => cast(gather(table, ids), { dtype: 'f32' }),
    encode: denseEmbedding,
  };
  plain.set(embedding, table);
  return embedding;
};

/** The table of an embedding as `denseEmbedding` was given it, f32 or f16; null for one that is stored or made in another way, or wrapped. */
export const storedTable = (embedding: Embedding): Tensor | null => plain.get(embedding) ?? null;
