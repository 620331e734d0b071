import { attach, prepare } from '@peftjs/core';
import { evaluate, reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import type { TaskModel } from '@peftjs/transformer';
import { tinyBert, tinyGpt2, tinyLlama, tinyVit } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { ladderSide } from '../src/index.ts';

const models = {
  llama: tinyLlama({ layers: 3 }),
  gpt2: tinyGpt2({ layers: 3 }),
  bert: tinyBert({ layers: 3 }),
  vit: tinyVit({ layers: 3 }),
} as unknown as Record<string, TaskModel>;

test.each(Object.entries(models))(
  'layers beside those of %s begin with channels of the layers that they stand beside',
  async (_, base) => {
    const executor = reference();
    const method = ladderSide({ reduction: 2, every: 2, start: 'weights' });
    const { params } = attach(base, await prepare(base, [method], { executor, data: [] }));
    const blocks = base.paths('block');
    const beside = blocks.filter((_, i) => (blocks.length - 1 - i) % 2 === 0);
    let seen = 0;
    for (const [name, v] of params) {
      const at = blocks.findIndex((block) => name.startsWith(`ladder_side.${block}.`));
      if (at < 0) continue;
      const path = name.slice('ladder_side.'.length).replace(blocks[at]!, beside[at]!);
      const [layer, part] = [path.slice(0, path.lastIndexOf('.')), path.slice(path.lastIndexOf('.') + 1)];
      const of = base.linears.get(layer)?.dense() ?? base.norms.get(layer)!;
      const t = part === 'weight' ? of.weight : of.bias!;
      const { theirs } = await evaluate({ theirs: t }, { executor });
      const values = new Set(theirs);
      const own = Array.from(await executor.read(v));
      expect(own.every((value) => values.has(value))).toBe(true);
      expect(new Set(own).size).toBeGreaterThan(own.length / 2);
      seen++;
    }
    expect(seen).toBeGreaterThan(beside.length * 5);
  },
);

test('a start that prepare has not found is refused, and so is Fisher information of no examples', async () => {
  const base = models['llama']!;
  expect(await messageOf('bad-option', async () => attach(base, [ladderSide({ start: 'fisher' })]))).toContain(
    'call it first',
  );
  const look = { executor: reference(), data: [] };
  expect(await messageOf('bad-option', () => prepare(base, [ladderSide({ start: 'fisher' })], look))).toContain(
    'at least one batch',
  );
});
