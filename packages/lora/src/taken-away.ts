import type { Scope } from '@peftjs/core';
import { type Compute, matmul, sub, type Variable } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { addDelta, type Delta } from './add-delta.ts';
import type { Product } from './algebra/truncated-svd.ts';

/**
 * The layer y = (W − B₀A₀)x + b + ΔW·x. B₀ and A₀, of some rank, are computed on the host when they are first used, in evaluation as in training, and are no part of a file: `find` gets them from
 * the base. Nothing of W is held a second time, so its storage may be of any format.
 */
export const takenAway = (
  base: Linear,
  own: Scope,
  rank: number,
  find: (compute: Compute) => Promise<Product>,
  delta: Delta,
): Linear => {
  let found: Promise<Product> | undefined; // the first of two to be made
  const once = (compute: Compute): Promise<Product> => {
    found ??= find(compute).catch((error: unknown) => {
      found = undefined;
      throw error;
    });
    return found;
  };
  const half = (name: 'a' | 'b', shape: readonly [number, number]): Variable =>
    own.running(`taken_${name.toUpperCase()}`, shape, async (_shape, _random, compute) =>
      Float32Array.from((await once(compute))[name].to1DArray()),
    );
  const [a, b] = [half('a', [rank, base.inDim]), half('b', [base.outDim, rank])];
  return addDelta(base, {
    apply: (x, call) => sub(delta.apply(x, call), matmul(matmul(x, a, { transposeB: true }), b, { transposeB: true })),
    dense: () => sub(delta.dense(), matmul(b, a)),
  });
};
