/** Draws that are the same for the same seed and number. */
export interface Random {
  /** A whole number from 0 up to, not including, a bound. */
  below(bound: number): number;
  /** One of several. */
  of<T>(items: readonly T[]): T;
  chance(probability: number): boolean;
}

/** Source: Steele, Lea & Flood, 2014 (SplitMix), in the 32-bit form of bryc, https://github.com/bryc/code/blob/master/jshash/PRNGs.md */
export const random = (seed: number, number: number): Random => {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b)) | 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let t = state ^ (state >>> 16);
    t = Math.imul(t, 0x21f0aaad);
    t ^= t >>> 15;
    t = Math.imul(t, 0x735a2d97);
    return ((t ^ (t >>> 15)) >>> 0) / 2 ** 32;
  };
  const below = (bound: number): number => Math.floor(next() * bound);
  return { below, of: (items) => items[below(items.length)]!, chance: (probability) => next() < probability };
};
