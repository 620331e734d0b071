import type { HostInit } from '@peftjs/core';
import { type Random, sizeOf } from '@peftjs/tensor';

/** `count` of the places below `size`, each at most once. Floyd's way, as told by Bentley, 1987. https://doi.org/10.1145/30401.315746 */
export const samplePlaces = (size: number, count: number, random: Random): Float64Array => {
  const chosen = new Set<number>();
  for (let i = size - count; i < size; i++) {
    const at = Math.floor(random() * (i + 1));
    chosen.add(chosen.has(at) ? i : at);
  }
  return Float64Array.from(chosen);
};

/** Masks of a shape [masks, …], bytes of 0 and 1: each has ones at a share of its places, rounded down, drawn at random. */
export const randomMasks =
  (share: number): HostInit =>
  ([masks = 1, ...shape], random) => {
    const size = sizeOf(shape);
    const all = new Uint8Array(masks * size);
    for (let i = 0; i < masks; i++)
      for (const place of samplePlaces(size, Math.floor(size * share), random)) all[i * size + place] = 1;
    return all;
  };
