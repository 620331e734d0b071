import { expect, test } from 'vitest';
import { chooseAsNumpy, numpyRandom, shuffleAsNumpy } from '../src/numpy-random.ts';

// numpy 2.4: r = numpy.random.default_rng(seed); r.choice(n, size=k, replace=False)[:12]; d = numpy.arange(1000); r.shuffle(d); d[:8]
test.each([
  [10, 4, 42, [4, 0, 5, 6], [380, 45, 425, 512, 785, 2, 344, 268]],
  [256, 255, 42, [155, 79, 89, 91, 82, 248, 123, 170, 174, 169, 202, 93], [331, 913, 987, 946, 755, 348, 851, 838]],
  [7, 1, 0, [5], [459, 206, 222, 162, 711, 814, 350, 891]],
  [
    20_000,
    900,
    7,
    [15415, 19710, 10572, 2075, 13513, 17830, 14335, 15958, 8681, 14199, 3780, 9817],
    [567, 37, 502, 746, 794, 228, 758, 482],
  ],
  [
    20_000,
    100,
    7,
    [13617, 235, 19359, 1829, 19997, 1940, 7381, 12405, 9768, 6037, 3841, 12787],
    [31, 609, 393, 916, 776, 564, 255, 732],
  ],
  [
    300,
    17,
    2 ** 40 + 5,
    [106, 260, 123, 263, 40, 107, 15, 43, 290, 261, 4, 1],
    [249, 550, 648, 362, 356, 448, 897, 128],
  ],
])('of %i numbers %i are chosen by seed %i, and others shuffled, as numpy does', (n, k, seed, chosen, shuffled) => {
  const random = numpyRandom(seed);
  expect([...chooseAsNumpy(n, k, random).slice(0, 12)]).toEqual(chosen);
  const values = Int32Array.from({ length: 1000 }, (_, i) => i);
  shuffleAsNumpy(values, random);
  expect([...values.slice(0, 8)]).toEqual(shuffled);
});
