import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AnyOp } from '../../define-op.ts';
import type { Executor } from '../../executor.ts';
import type { DeviceFacts } from '../../kernel.ts';
import { expectReference } from '../../testing/expect-reference.ts';
import { sampleTitle } from '../../testing/samples.ts';
import { openGpu } from '../../webgpu/dawn.ts';
import { executorOn } from '../../webgpu/executor.ts';
import { attentionOp } from '../attention.ts';
import { attentionGradOp } from '../attention-grad.ts';
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
  for (const op of [attentionOp, attentionGradOp] as unknown as AnyOp[])
    it.each(op.samples.filter(small).map((sample) => [op.name, sampleTitle(sample), sample] as const))(
      '%s %s',
      (_, __, sample) => expectReference(op, sample, executor),
    );
});
