import { describe, expect, test } from 'vitest';
import { differenceOf, mustBeNear } from './near.ts';

const shape = [2, 3];
const wanted = [1, 2, 3, 40, 5, 6];

describe('differenceOf', () => {
  test('says how many values differ, where and by how much, the worst first', () => {
    expect(differenceOf([1, 2.5, 3, 42, 5, 6], wanted, { tolerance: 1e-3, shape })).toBe(
      [
        '2 of 6 values in [2, 3] differ by more than 0.001:',
        '  [0, 1] got 2.5, wanted 2, apart 0.250',
        '  [1, 0] got 42, wanted 40, apart 0.0500',
      ].join('\n'),
    );
    expect(
      differenceOf(
        wanted.map((v) => v + 1),
        wanted,
        { tolerance: 0, listed: 1 },
      ),
    ).toMatch(/^6 of 6 values in \[6\] differ, the worst:\n {2}\[0\] got 2, wanted 1, apart 1\.00$/);
  });

  test('is null within the tolerance, and nothing is near NaN', () => {
    expect(
      differenceOf(
        wanted.map((v) => v * 1.0009),
        wanted,
        { tolerance: 1e-3 },
      ),
    ).toBeNull();
    expect(differenceOf([Number.NaN], [Number.NaN], { tolerance: 1 })).toContain('apart Infinity');
    expect(differenceOf([Number.POSITIVE_INFINITY], [Number.POSITIVE_INFINITY], { tolerance: 0 })).toBeNull();
  });

  test('tells other sizes', () => {
    expect(differenceOf([1], wanted, { tolerance: 1, shape })).toBe('1 values, wanted 6 of shape [2, 3]');
    expect(() => mustBeNear('logits', [1], [2], { tolerance: 0.1 })).toThrow('logits: 1 of 1 values');
  });
});
