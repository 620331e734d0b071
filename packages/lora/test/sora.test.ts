import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach, load, save } from '@peftjs/core';
import { readAdapter } from '@peftjs/io';
import { evaluate, reference, sizeOf } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import { sora } from '../src/index.ts';
import { type SparsitySchedule, sparsityAt } from '../src/sora/schedule.ts';

describe('sora', () => {
  test('saves the ranks that are left alone, and layers of none not at all', async () => {
    const [executor, base, ids] = [reference(), tinyLlama(), tokens([1, 5, 2])];
    const adapted = attach(base, [sora({ rank: 3 })]);
    await shake(adapted.params, { executor });
    const q = [...adapted.params.keys()].filter((name) => name.endsWith('gate'));
    await executor.write(adapted.params.get(q[0]!)!, Float32Array.of(0, 2, 0));
    await executor.write(adapted.params.get(q[1]!)!, new Float32Array(3));
    const dir = await mkdtemp(join(tmpdir(), 'peftjs-sora-'));
    try {
      await save(adapted, dir, { executor });
      const { tensors } = await readAdapter(dir);
      const sizes = [...tensors.values()].reduce((n, { shape }) => n + sizeOf(shape), 0);
      const full = [...adapted.params.values()].reduce((n, { shape }) => n + sizeOf(shape), 0);
      const perRank = (gate: string): number => {
        const { inDim, outDim } = base.linears.get(gate.replace('.lora_gate', ''))!;
        return inDim + outDim + 1;
      };
      expect(sizes).toBe(full - 2 * perRank(q[0]!) - 3 * perRank(q[1]!));
      const again = await load(base, dir, [sora]);
      const { a, b } = await evaluate({ a: again.model.logits(ids), b: adapted.model.logits(ids) }, { executor });
      expect(distance(a!, b!)).toBeLessThan(1e-6);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test.each<[SparsitySchedule, number[]]>([
    ['linear', [1, 1, 4, 4, 7, 7, 7]],
    ['log', [1, 1, 4, 4, 7, 7, 7].map((x) => (x === 4 ? Math.log((Math.E + Math.E ** 7) / 2) : x))],
    ['exp', [1, 1, 4, 4, 7, 7, 7].map((x) => (x === 4 ? Math.sqrt(7) : x))],
  ])('grows its sparsity in stages, %s', (schedule, wanted) => {
    const options = { sparsity: 1, maxSparsity: 7, schedule, stages: 3, steps: 6 };
    for (const [step, value] of wanted.entries()) expect(sparsityAt(options, step)).toBeCloseTo(value, 12);
    expect(sparsityAt({ ...options, maxSparsity: 0 }, 5)).toBe(1);
  });
});
