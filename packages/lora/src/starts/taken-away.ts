import type { Init, Scope } from '@peftjs/core';
import { matmul, mul, sub } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { addDelta, type Delta } from '../add-delta.ts';

/** The names of A₀ and B₀ in a layer. */
export const takenNames = { a: 'taken_A', b: 'taken_B' } as const;

/**
 * The layer y = (W − s·B₀A₀)x + b + ΔW·x. B₀ and A₀, of some rank, are made when they are first used, in evaluation as in training, and are no part of a file. Nothing of W is held a second time, so
 * its storage may be of any format.
 */
export const takenAway = (
  base: Linear,
  own: Scope,
  { rank, scale, first }: { readonly rank: number; readonly scale: number; first(half: 'a' | 'b'): Init },
  delta: Delta,
): Linear => {
  const a = own.running(takenNames.a, [rank, base.inDim], first('a'));
  const b = own.running(takenNames.b, [base.outDim, rank], first('b'));
  return addDelta(base, {
    apply: (x, call) =>
      sub(delta.apply(x, call), matmul(mul(matmul(x, a, { transposeB: true }), scale), b, { transposeB: true })),
    dense: () => sub(delta.dense(), mul(matmul(b, a), scale)),
  });
};
