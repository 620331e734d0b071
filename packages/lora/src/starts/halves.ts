import type { Init } from '@peftjs/core';
import type { Compute } from '@peftjs/tensor';
import type { Product } from '../algebra/truncated-svd.ts';
import { onceComputed } from '../once-computed.ts';

/** First values of two matrices, of which one computation on the host makes both. */
export const halves = (find: (compute: Compute) => Promise<Product>): ((half: 'a' | 'b') => Init) => {
  const once = onceComputed(find);
  return (half) => async (_shape, _random, compute) => Float32Array.from((await once(compute))[half].to1DArray());
};
