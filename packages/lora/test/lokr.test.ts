import { expect, test } from 'vitest';
import { splitSize } from '../src/lokr.ts';

test.each([
  [128, -1, [8, 16]],
  [256, -1, [16, 16]],
  [127, -1, [1, 127]],
  [360, -1, [18, 20]],
  [128, 4, [4, 32]],
  [128, 64, [64, 2]],
  [30, 4, [3, 10]],
  [30, 7, [5, 6]],
  [360, 7, [6, 60]],
  [1, -1, [1, 1]],
])('LoKr splits %i by factor %i into %j, as LyCORIS does', (size, factor, sides) => {
  expect(splitSize(size, factor)).toEqual(sides);
});
