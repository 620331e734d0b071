import { randomSource } from '@peftjs/tensor';

/** A permutation of 0 … n−1. Fisher & Yates, 1938; Durstenfeld, 1964. https://doi.org/10.1145/364520.364540 */
export const shuffled = (n: number, seed: number, name: string): Uint32Array => {
  const random = randomSource(seed, name);
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
};
