import { randomSource } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { sampleToken } from '../src/index.ts';

const logits = Float32Array.of(0, 2, -1, 1, 2, -3);
const softmax = (values: ArrayLike<number>, temperature: number): number[] => {
  const weights = Array.from(values, (l) => Math.exp(l / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
};

const shares = (options: Parameters<typeof sampleToken>[1], draws = 20_000): number[] => {
  const random = randomSource(7, 'shares');
  const counts = new Array<number>(logits.length).fill(0);
  for (let i = 0; i < draws; i++) counts[sampleToken(logits, options, random)]! += 1;
  return counts.map((c) => c / draws);
};

const among = (kept: readonly number[], temperature: number): number[] => {
  const all = softmax(logits, temperature).map((p, i) => (kept.includes(i) ? p : 0));
  const total = all.reduce((a, b) => a + b, 0);
  return all.map((p) => p / total);
};

describe('sampleToken', () => {
  test('without temperature takes the first of the likeliest', () => {
    expect(sampleToken(logits, {}, () => 0.99)).toBe(1);
  });

  test.each([
    ['temperature 1', { temperature: 1 }, [0, 1, 2, 3, 4, 5], 1],
    ['temperature 3', { temperature: 3 }, [0, 1, 2, 3, 4, 5], 3],
    ['topK 3', { temperature: 1, topK: 3 }, [1, 3, 4], 1],
    ['topK 1 of two equal ones, the first', { temperature: 1, topK: 1 }, [1], 1],
    ['topK beyond the vocabulary', { temperature: 1, topK: 99 }, [0, 1, 2, 3, 4, 5], 1],
    ['topP 0.85, three tokens reach it', { temperature: 1, topP: 0.85 }, [1, 3, 4], 1],
    ['a tiny topP keeps one', { temperature: 1, topP: 1e-9 }, [1], 1],
    ['topP of what topK left', { temperature: 1, topK: 2, topP: 0.6 }, [1, 4], 1],
  ])('%s', (_, options, kept, temperature) => {
    const expected = among(kept, temperature);
    for (const [i, share] of shares(options).entries()) {
      if (expected[i] === 0) expect(share).toBe(0);
      else expect(Math.abs(share - expected[i]!)).toBeLessThan(0.015);
    }
  });

  test('a draw at either end falls on a kept token', () => {
    for (const u of [0, 1 - 2 ** -32])
      expect([1, 4]).toContain(sampleToken(logits, { temperature: 1, topK: 2 }, () => u));
  });

  test('a very low temperature does not overflow', () => {
    expect([1, 4]).toContain(sampleToken(logits, { temperature: 1e-30 }, () => 0.3));
  });

  test('logits that are no numbers are refused', () => {
    expect(() => sampleToken(Float32Array.of(1, Number.NaN), {}, () => 0)).toThrow(/not finite numbers/);
    expect(() => sampleToken(Float32Array.of(1, Infinity), { temperature: 1 }, () => 0)).toThrow(/not finite numbers/);
  });
});
