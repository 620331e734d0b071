import { constant, input, sizeOf, type Tensor } from '@peftjs/tensor';
import type { KvCache } from '../../kv-cache.ts';
import { type Path, siteNames } from '../../sites.ts';
import type { CausalLM } from '../../task-model.ts';

/** Sizes of the keys and values that a model makes of a token. */
export interface KvSizes {
  /** Heads of keys, in every layer. */
  readonly heads: number;
  /** The width of a head by the attention's path. */
  readonly headDims: ReadonlyMap<Path, number>;
}

const isWrapped = ({ around }: CausalLM): boolean =>
  siteNames.some((site) =>
    [...(around[site] ?? new Map<Path, readonly unknown[]>()).values()].some((all) => all.length),
  );

/**
 * Sizes of what a cache holds of a model whose texts may be read in pieces: a token's keys and values depend on the tokens before it and on nothing else, so what
 * is known of a text's beginning serves all texts that begin so. Null for a model of which that isn't sure: with middleware (which may look at a whole prompt, put rows in front
 * or keep values for later passes), with layers whose rows depend on each other, or with layers of unlike numbers of heads. Builds the graph of one token.
 */
export const kvSizesOf = (model: CausalLM): KvSizes | null => {
  if (isWrapped(model) || [...model.linears.values()].some(({ acrossRows }) => acrossRows)) return null;
  const headDims = new Map<Path, number>();
  const heads = new Set<number>();
  let isPlain = true;
  const zeros = (shape: readonly number[]): Tensor => constant(new Float32Array(sizeOf(shape)), shape);
  const cache: KvCache = {
    append: (path, own) => {
      const [, count, tokens, dim] = own.k.shape as readonly [number, number, number, number];
      if (tokens !== 1) isPlain = false;
      heads.add(count);
      headDims.set(path, dim);
      return own;
    },
    cross: (_, theirs) => {
      isPlain = false;
      return theirs!;
    },
    offset: constant(Int32Array.of(0), []),
    continues: true,
    recall: (_, shape) => {
      isPlain = false;
      return zeros(shape);
    },
    keep: () => {
      isPlain = false;
    },
  };
  const one = (name: string): Tensor => input(name, [model.batchSize ?? 1, 1], 'i32');
  model.logits(one('ids'), { positions: one('positions'), positionLimit: 1, cache });
  const [count] = heads;
  return isPlain && heads.size === 1 && count !== undefined ? { heads: count, headDims } : null;
};

/** Whether two models may share a cache. */
export const sameSizes = (a: KvSizes, b: KvSizes): boolean =>
  a.heads === b.heads &&
  a.headDims.size === b.headDims.size &&
  [...a.headDims].every(([path, dim]) => b.headDims.get(path) === dim);
