import { describe, expect, test } from 'vitest';
import { agrees, referenceOf } from '../src/agreement.ts';
import { smoke } from '../src/tasks/smoke.ts';
import type { Task } from '../src/tasks/task.ts';

const kindOf = (kind: Task['kind']): Task => smoke.find((task) => task.kind === kind)!;
const [matmul, step, generate] = [kindOf('matmul'), kindOf('step'), kindOf('generate')];

describe('agreement', () => {
  test('losses may differ by 1e-3, and those are compared that both have', () => {
    expect(agrees(step, [2, 1.5], [2.0009, 1.4991])).toBe(true);
    expect(agrees(step, [2, 1.5], [2, 1.502])).toBe(false);
    expect(agrees(step, [2, 1.5], [2, 1.5, 1.2])).toBe(true);
    expect(agrees(step, [], [])).toBe(false);
    expect(agrees(step, [Number.NaN, 1.5], [2, 1.5])).toBe(false);
  });

  test('products may differ by a thousandth, tokens not at all', () => {
    expect(agrees(matmul, [1000.5], [1000])).toBe(true);
    expect(agrees(matmul, [1002], [1000])).toBe(false);
    expect(agrees(generate, [1, 2], [1, 2])).toBe(true);
    expect(agrees(generate, [1, 2], [1, 3])).toBe(false);
    expect(agrees(generate, [1], [1, 3])).toBe(false);
  });

  test('tokens of a stack that rounds are the same up to a near tie, which is not among the first eight', () => {
    const tokens = Array.from({ length: 12 }, (_, i) => i);
    const from = (first: number): number[] => tokens.map((t, i) => (i < first ? t : 99));
    expect(agrees(generate, from(12), tokens, true)).toBe(true);
    expect(agrees(generate, from(8), tokens, true)).toBe(true);
    expect(agrees(generate, from(7), tokens, true)).toBe(false);
    expect(agrees(generate, tokens.slice(0, 9), tokens, true)).toBe(false);
    expect(agrees(generate, from(8), tokens)).toBe(false);
  });

  test('the reference is PyTorch, and without it the middle of all', () => {
    const others: [string, number[]][] = [
      ['a', [1]],
      ['b', [2]],
      ['c', [9]],
    ];
    expect(referenceOf(new Map(others))).toEqual([2]);
    expect(referenceOf(new Map([...others, ['torch', [7]]]))).toEqual([7]);
    expect(referenceOf(new Map())).toEqual([]);
  });
});
