import { randomSource } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { type Lifetime, planMemory } from './memory-plan.ts';

const overlap = (a: Lifetime, b: Lifetime): boolean => a.from <= b.to && b.from <= a.to;

describe('planMemory', () => {
  test('a chain takes two buffers', () => {
    const chain = Array.from({ length: 9 }, (_, i) => ({ bytes: 64, from: i, to: i + 1 }));
    expect(planMemory(chain).buffers).toEqual([64, 64]);
  });

  test('a small value goes into the smallest buffer that is free', () => {
    const lives = [
      { bytes: 100, from: 0, to: 1 },
      { bytes: 50, from: 0, to: 1 },
      { bytes: 40, from: 2, to: 3 },
      { bytes: 90, from: 2, to: 2 },
    ];
    expect(planMemory(lives)).toEqual({ buffers: [100, 50], bufferOf: [0, 1, 1, 0] });
  });

  test('never puts together what is alive together, fits all, and wastes little', () => {
    for (let seed = 0; seed < 50; seed++) {
      const random = randomSource(seed, 'lives');
      const lives = Array.from({ length: 60 }, (): Lifetime => {
        const from = Math.floor(random() * 80);
        return { bytes: 16 * (1 + Math.floor(random() * 64)), from, to: from + Math.floor(random() * 12) };
      });
      const { buffers, bufferOf } = planMemory(lives);
      for (const [i, life] of lives.entries()) {
        expect(buffers[bufferOf[i]!]).toBeGreaterThanOrEqual(life.bytes);
        for (let j = 0; j < i; j++) if (bufferOf[i] === bufferOf[j]) expect(overlap(life, lives[j]!)).toBe(false);
      }
      const alive = Array.from({ length: 100 }, (_, at) =>
        lives.reduce((n, l) => n + (l.from <= at && at <= l.to ? l.bytes : 0), 0),
      );
      expect(buffers.reduce((a, b) => a + b, 0)).toBeLessThan(1.5 * Math.max(...alive));
    }
  });
});
