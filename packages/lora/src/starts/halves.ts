import type { Init } from '@peftjs/core';
import type { Compute } from '@peftjs/tensor';
import type { Product } from '../algebra/truncated-svd.ts';

/** First values of two matrices, of which one computation on the host makes both. */
export const halves = (find: (compute: Compute) => Promise<Product>): ((half: 'a' | 'b') => Init) => {
  let found: Promise<Product> | undefined;
  const once = (compute: Compute): Promise<Product> => {
    found ??= find(compute).catch((error: unknown) => {
      found = undefined; // to be tried again
      throw error;
    });
    return found;
  };
  return (half) => async (_shape, _random, compute) => Float32Array.from((await once(compute))[half].to1DArray());
};
