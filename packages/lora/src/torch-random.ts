const [size, middle] = [624, 397];

/** One word made of the upper bit of one and the lower bits of the next. */
const twisted = (upper: number, lower: number): number => {
  const y = (upper & 0x80000000) | (lower & 0x7fffffff);
  return (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
};

/**
 * The whole numbers below 2³² that torch's generator draws on the CPU after `manual_seed(seed)`: the Mersenne Twister MT19937.
 * Matsumoto & Nishimura, 1998. https://doi.org/10.1145/272991.272995
 */
export const torchRandom = (seed: number): (() => number) => {
  const state = new Int32Array(size);
  state[0] = seed % 2 ** 32;
  for (let i = 1; i < size; i++) {
    const before = state[i - 1]!;
    state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
  }
  let next = size;
  return () => {
    if (next === size) {
      for (let i = 0; i < size; i++)
        state[i] = state[(i + middle) % size]! ^ twisted(state[i]!, state[(i + 1) % size]!);
      next = 0;
    }
    let y = state[next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
};

/**
 * The values of torch's `uniform_(low, high)` on the CPU in f32, of a generator with that seed which has drawn `before` values: 24 bits of each word.
 */
export const torchUniform = (size: number, low: number, high: number, seed: number, before = 0): Float32Array => {
  const random = torchRandom(seed);
  for (let i = 0; i < before; i++) random();
  const [from, to] = [Math.fround(low), Math.fround(high)];
  const range = Math.fround(to - from);
  return Float32Array.from({ length: size }, () => Math.fround(((random() & 0xffffff) / 2 ** 24) * range) + from);
};

/** Box & Muller's pair of normal values, of uniform ones. Box & Muller, 1958. https://doi.org/10.1214/aoms/1177706645 */
const pair = (u: number, v: number): readonly [number, number] => {
  const length = Math.sqrt(-2 * Math.log(1 - u));
  return [length * Math.cos(2 * Math.PI * v), length * Math.sin(2 * Math.PI * v)];
};

/**
 * The values of `torch.normal(0, std)` on the CPU in f32, of a generator with that seed, up to the rounding of its sines and logarithms: 16 at a time, the last 16 drawn anew where that does not
 * divide the size; fewer than 16 in pairs of f64, of 53 bits of two words.
 */
export const torchNormal = (size: number, std: number, seed: number): Float32Array => {
  const random = torchRandom(seed);
  const values = new Float32Array(size);
  if (size < 16) {
    const uniform = (): number => {
      const high = random();
      return ((high & 0x1fffff) * 2 ** 32 + random()) / 2 ** 53;
    };
    for (let i = 0; i < size; i += 2) {
      const v = uniform();
      values.set(pair(uniform(), v).slice(0, size - i), i);
    }
    return values.map((z) => z * std);
  }
  const draw = (from: number): void => {
    for (let i = from; i < size; i++) values[i] = (random() & 0xffffff) / 2 ** 24;
  };
  const turn = (from: number): void => {
    for (let i = from; i < from + 8; i++) {
      const made = pair(values[i]!, values[i + 8]!);
      [values[i], values[i + 8]] = [made[0] * std, made[1] * std];
    }
  };
  draw(0);
  for (let i = 0; i + 16 <= size; i += 16) turn(i);
  if (size % 16 > 0) {
    draw(size - 16);
    turn(size - 16);
  }
  return values;
};

/**
 * The first `count` numbers of `torch.randperm(n)` on the CPU, of a generator with that seed: each place in turn is exchanged with one that is not before it,
 * drawn by a remainder. Only the places that were exchanged are held. `n` is below 2³². The generator has drawn `before` values, of which a permutation draws n − 1.
 */
export const torchPermutation = (n: number, seed: number, count: number, before = 0): Float64Array => {
  const random = torchRandom(seed);
  for (let i = 0; i < before; i++) random();
  const moved = new Map<number, number>();
  return Float64Array.from({ length: count }, (_, i) => {
    const at = i < n - 1 ? i + (random() % (n - i)) : i;
    const taken = moved.get(at) ?? at;
    moved.set(at, moved.get(i) ?? i);
    return taken;
  });
};
