import type { Executor } from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import type { AnyOp } from '@peftjs/tensor/op';
import { expectReference, sampleTitle } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from '../executor/executor.ts';
import type { DeviceFacts } from '../kernel.ts';
import { subgroupTiles } from './attention-subgroup-tiles.ts';

// Whatever the adapter's subgroups are.
vi.mock('./attention-choice.ts', () => ({
  attentionTiles: (rows: number, headDim: number, _: number, { subgroupSize }: DeviceFacts) =>
    subgroupTiles({ own: rows === 1 ? 1 : 8, headDim }, subgroupSize!),
}));

describe('attention in tiles of subgroups', () => {
  let executor: Executor;
  beforeAll(async () => {
    const gpu = await openGpu({ adapter: 'software' });
    expect(gpu.facts.subgroupSize, 'SwiftShader has subgroups of one size').toBeGreaterThan(1);
    executor = executorOn(gpu, { poison: true });
  });
  afterAll(() => executor?.close());

  // Wide heads take minutes to compile here, and say no more.
  const small = ({ shapes }: AnyOp['samples'][number]): boolean => shapes['q']!.at(-1)! <= 20;
  for (const op of [ops.attention, ops.attention_grad] as unknown as AnyOp[])
    it.each(op.samples.filter(small).map((sample) => [op.name, sampleTitle(sample), sample] as const))(
      '%s %s',
      (_, __, sample) => expectReference(op, sample, { executor }),
    );
});
