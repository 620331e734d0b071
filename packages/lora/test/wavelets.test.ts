import { constant, evaluate, reference } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { filtersOf, wavelets } from '../src/waveft/filters.ts';
import { transformOf } from '../src/waveft/transform.ts';

test.each(wavelets)('the filters of %s are orthonormal, also when moved by two', (wavelet) => {
  const [low, high] = filtersOf(wavelet);
  const product = (a: readonly number[], b: readonly number[], by: number): number =>
    a.reduce((sum, v, i) => sum + v * (b[i + by] ?? 0), 0);
  for (let by = 0; by < low.length; by += 2) {
    expect(product(low, low, by)).toBeCloseTo(by === 0 ? 1 : 0, 9);
    expect(product(high, high, by)).toBeCloseTo(by === 0 ? 1 : 0, 9);
    expect(product(low, high, by)).toBeCloseTo(0, 9);
  }
});

test.each([
  ['db1', 6],
  ['db1', 7],
  ['db3', 7],
  ['coif1', 10],
] as const)(
  'values of coefficients by %s, %i of them, are the sums of the definition, and the other way its transpose',
  async (wavelet, size) => {
    const { width, values, coefficients } = transformOf(wavelet, size);
    const filters = filtersOf(wavelet);
    const taps = filters[0].length;
    const expected = Float32Array.from({ length: width * size }, (_, i) => {
      const [row, p] = [Math.floor(i / size), i % size];
      return filters[row < width / 2 ? 0 : 1][p + taps - 2 - 2 * (row % (width / 2))] ?? 0;
    });
    const one = (n: number): Float32Array =>
      Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
    const { there, back } = await evaluate(
      { there: values(constant(one(width), [width, width])), back: coefficients(constant(one(size), [size, size])) },
      { executor: reference() },
    );
    expect(distance(there!, expected)).toBeLessThan(1e-6);
    const turned = Float32Array.from(
      { length: width * size },
      (_, i) => back![(i % size) * width + Math.floor(i / size)]!,
    );
    expect(distance(turned, expected)).toBeLessThan(1e-6);
  },
);
