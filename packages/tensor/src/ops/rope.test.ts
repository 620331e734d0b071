import { describe, expect, it } from 'vitest';
import { apart, drawn, known, valuesOf } from '../testing/known.ts';
import { cos } from './cos.ts';
import { matmul } from './matmul.ts';
import { mul } from './mul.ts';
import { rope } from './rope.ts';
import { sin } from './sin.ts';
import { sum } from './sum.ts';

const tokens = 6;
const half = 4;
/** Angles position · 10000^(−d/half), at positions from `first`. */
const angles = (first: number) =>
  known(
    [tokens, half],
    Array.from({ length: tokens * half }, (_, i) => (first + Math.floor(i / half)) * 10000 ** (-(i % half) / half)),
  );
const x = drawn('x', [2, 3, tokens, 2 * half]);
const y = drawn('y', [2, 3, tokens, 2 * half]);
const turned = (t: typeof x, first: number) => rope(t, cos(angles(first)), sin(angles(first)));

describe('rope', () => {
  it('turns a known pair by a quarter', async () => {
    expect(
      await valuesOf(rope(known([1, 1, 1, 4], [1, 2, 3, 4]), known([1, 2], [0, 1]), known([1, 2], [1, 0]))),
    ).toEqual([-3, 2, 1, 4]);
  });

  it('keeps the norm of every head', async () => {
    const norms = (t: typeof x) => valuesOf(sum(mul(t, t), { axes: [-1] }));
    expect(apart(await norms(turned(x, 3)), await norms(x))).toBeLessThan(1e-6);
  });

  it('makes products depend on distances alone', async () => {
    const scores = (first: number) => valuesOf(matmul(turned(x, first), turned(y, first), { transposeB: true }));
    expect(apart(await scores(0), await scores(17))).toBeLessThan(1e-5);
    expect(apart(await scores(0), await valuesOf(matmul(x, y, { transposeB: true })))).toBeGreaterThan(0.1);
  });

  it('takes angles of their own for each of a batch', async () => {
    const both = known([2, tokens, half], [...(await valuesOf(angles(0))), ...(await valuesOf(angles(1)))]);
    const out = await valuesOf(rope(x, cos(both), sin(both)));
    const size = out.length / 2;
    expect(out.slice(0, size)).toEqual((await valuesOf(turned(x, 0))).slice(0, size));
    expect(out.slice(size)).toEqual((await valuesOf(turned(x, 1))).slice(size));
  });

  it('names what does not fit', () => {
    expect(() => rope(drawn('o', [1, 1, 2, 5]), drawn('c', [2, 2]), drawn('c', [2, 2]))).toThrow(
      'with an even headDim',
    );
    expect(() => rope(x, drawn('c', [tokens, half]), drawn('c', [tokens, half + 1]))).toThrow(
      'cos and sin must both be [6,4] or [2,6,4]',
    );
  });
});
