import { describe, expect, it } from 'vitest';
import { apart, drawn, known, valuesOf } from '../testing/known.ts';
import { matmul } from './matmul.ts';
import { mul } from './mul.ts';
import { reshape } from './reshape.ts';
import { sum } from './sum.ts';
import { transpose } from './transpose.ts';

const a = known([2, 3], [1, 2, 3, 4, 5, 6]);
const b = known([3, 2], [7, 8, 9, 10, 11, 12]);

describe('matmul', () => {
  it('computes a product known by hand', async () => {
    expect(matmul(a, b).shape).toEqual([2, 2]);
    expect(await valuesOf(matmul(a, b))).toEqual([58, 64, 139, 154]);
  });

  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('takes sides stored transposed: a %s, b %s', async (transposeA, transposeB) => {
    const left = transposeA ? transpose(a, [1, 0]) : a;
    const right = transposeB ? transpose(b, [1, 0]) : b;
    expect(await valuesOf(matmul(left, right, { transposeA, transposeB }))).toEqual([58, 64, 139, 154]);
  });

  it('broadcasts leading axes of either side', async () => {
    const x = drawn('x', [2, 1, 3, 4]);
    const y = drawn('y', [5, 4, 6]);
    const product = matmul(x, y);
    expect(product.shape).toEqual([2, 5, 3, 6]);
    const bySum = sum(mul(reshape(x, [2, 1, 3, 4, 1]), reshape(y, [1, 5, 1, 4, 6])), { axes: [3] });
    expect(apart(await valuesOf(product), await valuesOf(bySum))).toBeLessThan(1e-6);
  });

  it('gives zeros where the depth is empty', async () => {
    expect(await valuesOf(matmul(known([2, 0], []), known([0, 3], [])))).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('names the sides that do not meet, and what to do', () => {
    expect(() => matmul(a, b, { transposeB: true })).toThrow(
      'matmul: got 2x3 f32, 3x2 f32; a has 3 columns but b transposed has 2 rows; they must be equal',
    );
    expect(() => matmul(known([3], [1, 2, 3]), b)).toThrow('reshape a vector to one row or column');
    expect(() => matmul(drawn('p', [2, 3, 4]), drawn('q', [3, 4, 5]))).toThrow(
      /axes before the last two.*sizes must be equal or 1/,
    );
  });
});
