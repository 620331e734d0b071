import { describe, expect, test } from 'vitest';
import { line, median, ratio, spread } from '../src/stats.ts';

describe('statistics', () => {
  test('the median is the middle, of an even count the mean of the two middle ones', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 100, 2])).toBe(3);
    expect(() => median([])).toThrow('there are no values');
  });

  test('one wild round does not change the spread', () => {
    expect(spread([10, 10, 11, 9, 1000])).toBeCloseTo(0.1);
    expect(spread([3])).toBe(0);
  });

  test('a ratio is that of neighbours in time: a machine that slows down for all does not show', () => {
    expect(ratio([20, 2, 200], [10, 1, 100])).toBe(2);
    expect(ratio([20, 2], [10, 1, 7])).toBe(2);
  });

  test('a straight line is found, and how well it fits', () => {
    const exact = line([
      [1, 5],
      [2, 7],
      [4, 11],
    ]);
    expect(exact.slope).toBeCloseTo(2);
    expect(exact.offset).toBeCloseTo(3);
    expect(exact.r2).toBeCloseTo(1);
    const bent = line([
      [1, 1],
      [2, 4],
      [3, 9],
      [4, 16],
    ]);
    expect(bent.r2).toBeLessThan(0.98);
  });
});
