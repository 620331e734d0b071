import { expect, test } from 'vitest';
import { foldWorkgroups } from './fold.ts';

test.each([0, 1, 6, 7, 8, 13, 14, 48, 49, 50, 120])(
  '%i workgroups with a limit of 7: each linear index once',
  (count) => {
    const launches = foldWorkgroups(count, 7);
    const indices = launches.flatMap(({ x, y, first }) => {
      expect(Math.max(x, y)).toBeLessThanOrEqual(7);
      return Array.from({ length: x * y }, (_, i) => first + Math.floor(i / x) * x + (i % x));
    });
    expect(indices).toEqual(Array.from({ length: count }, (_, i) => i));
  },
);

test('a count that fits is one launch', () => {
  expect(foldWorkgroups(65_535, 65_535)).toEqual([{ x: 65_535, y: 1, first: 0 }]);
  expect(foldWorkgroups(65_535 * 3 + 5, 65_535)).toHaveLength(2);
});
