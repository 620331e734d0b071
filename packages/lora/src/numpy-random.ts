const mask32 = 0xffffffff;
const mask64 = (1n << 64n) - 1n;
const mask128 = (1n << 128n) - 1n;
const multiplier = 0x2360ed051fc65da44385df649fccf645n;

/** A mixer of words whose constant changes with each use. */
const hash = (constant: number, factor: number): ((word: number) => number) => {
  let next = constant;
  return (word) => {
    const mixed = word ^ next;
    next = Math.imul(next, factor);
    const grown = Math.imul(mixed, next);
    return (grown ^ (grown >>> 16)) >>> 0;
  };
};

/** Eight words of 32 bits made of a seed below 2⁵³, as numpy's `SeedSequence` makes them. O'Neill, 2015. https://www.pcg-random.org/posts/developing-a-seed_seq-alternative.html */
const seedWords = (seed: number): number[] => {
  const entropy = [seed % 2 ** 32, Math.floor(seed / 2 ** 32), 0, 0];
  const intoPool = hash(0x43b0d7e5, 0x931e8875);
  const pool = entropy.map(intoPool);
  for (let from = 0; from < 4; from++)
    for (let to = 0; to < 4; to++) {
      if (from === to) continue;
      const mixed = (Math.imul(pool[to]!, 0xca01f9dd) - Math.imul(intoPool(pool[from]!), 0x4973f715)) >>> 0;
      pool[to] = (mixed ^ (mixed >>> 16)) >>> 0;
    }
  const outOfPool = hash(0x8b51f9dd, 0x58f38ded);
  return Array.from({ length: 8 }, (_, i) => outOfPool(pool[i % 4]!));
};

/** Words of 32 bits. */
export type NumpyRandom = () => number;

/** The words that `numpy.random.default_rng(seed)` draws: halves of those of PCG64 (XSL-RR). O'Neill, 2014. https://www.pcg-random.org/pdf/hmc-cs-2014-0905.pdf */
export const numpyRandom = (seed: number): NumpyRandom => {
  const words = seedWords(seed).map(BigInt);
  const wide = (at: number): bigint => words[at]! | (words[at + 1]! << 32n);
  const step = ((((wide(4) << 64n) | wide(6)) << 1n) | 1n) & mask128;
  let state = (step + ((wide(0) << 64n) | wide(2))) & mask128;
  const advance = (): void => {
    state = (state * multiplier + step) & mask128;
  };
  advance();
  let held: number | null = null;
  return () => {
    if (held !== null) {
      const kept = held;
      held = null;
      return kept;
    }
    advance();
    const folded = (state >> 64n) ^ (state & mask64);
    const turn = state >> 122n;
    const drawn = ((folded >> turn) | (folded << (64n - turn))) & mask64;
    held = Number(drawn >> 32n);
    return Number(drawn & 0xffffffffn);
  };
};

/** A whole number from 0 to `most` below 2³² − 1, by a product. Lemire, 2019. https://arxiv.org/abs/1805.10941 */
const byProduct = (most: number, random: NumpyRandom): number => {
  if (most === 0) return 0;
  const range = most + 1;
  for (;;) {
    const product = BigInt(random()) * BigInt(range);
    const rest = Number(product & 0xffffffffn);
    if (rest >= range || rest >= (mask32 - most) % range) return Number(product >> 32n);
  }
};

/** The same, by leaving out what is too large. */
const byMask = (most: number, random: NumpyRandom): number => {
  const mask = most === 0 ? 0 : mask32 >>> Math.clz32(most);
  for (;;) {
    const drawn = (random() & mask) >>> 0;
    if (drawn <= most) return drawn;
  }
};

/** Exchanges each value from the last to that at `start` with one that is not after it. */
const exchange = (values: Int32Array, start: number, draw: (most: number) => number): void => {
  for (let i = values.length - 1; i >= start; i--) {
    const j = draw(i);
    [values[i], values[j]] = [values[j]!, values[i]!];
  }
};

/** Puts values into the order in which numpy's `Generator.shuffle` puts them. */
export const shuffleAsNumpy = (values: Int32Array, random: NumpyRandom): void =>
  exchange(values, 1, (most) => byMask(most, random));

/** `count` different whole numbers below `size`, as numpy's `Generator.choice(size, count, replace=False)` takes them. */
export const chooseAsNumpy = (size: number, count: number, random: NumpyRandom): Int32Array => {
  const draw = (most: number): number => byProduct(most, random);
  if (size > 10_000 && count > Math.floor(size / 50)) {
    const all = Int32Array.from({ length: size }, (_, i) => i);
    exchange(all, Math.max(size - count, 1), draw);
    return all.slice(size - count);
  }
  const seen = new Set<number>();
  for (let i = size - count; i < size; i++) {
    const drawn = draw(i);
    seen.add(seen.has(drawn) ? i : drawn);
  }
  const chosen = Int32Array.from(seen);
  exchange(chosen, 1, draw);
  return chosen;
};
