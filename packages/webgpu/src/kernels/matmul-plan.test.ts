import { describe, expect, it } from 'vitest';
import type { DeviceFacts } from '../kernel.ts';
import { matmulPlan } from './matmul-plan.ts';

/** The description of a real GPU, with WebGPU's own limits. */
const gpuFacts: DeviceFacts = {
  f16: false,
  subgroups: false,
  software: false,
  workgroupMemory: 16384,
  maxInvocations: 256,
};

describe('the choice of a product', () => {
  const plan = (m: number, k: number, n: number, facts: Partial<DeviceFacts> = {}) =>
    matmulPlan({ m, k, n, a: { buffer: 'a' }, b: { buffer: 'b' }, out: 'out0' }, { ...gpuFacts, ...facts });

  it('uses workgroup memory on GPUs alone', () => {
    expect(plan(512, 512, 512).dispatches[0]!.wgsl).toContain('var<workgroup>');
    expect(plan(512, 512, 512, { software: true }).dispatches[0]!.wgsl).not.toContain('var<workgroup>');
    expect(plan(512, 512, 512, { workgroupMemory: 1024 }).dispatches[0]!.wgsl).not.toContain('var<workgroup>');
  });

  it('broadcasts in subgroups on CPU adapters that have them, except for a few rows', () => {
    const cpu = { software: true, subgroups: true, subgroupSize: 4 };
    expect(plan(512, 512, 512, cpu).dispatches[0]!.wgsl).toContain('subgroupBroadcast');
    expect(plan(1, 512, 512, cpu).dispatches[0]!.wgsl).not.toContain('subgroup');
    expect(plan(512, 512, 512, { ...cpu, software: false }).dispatches[0]!.wgsl).not.toContain('subgroupBroadcast');
  });

  it('splits the depth of few outputs, joined by a second pass', () => {
    const { dispatches, temps } = plan(8, 4096, 256);
    expect(dispatches).toHaveLength(2);
    expect(temps!['parts']! % (4 * 8 * 256)).toBe(0);
    expect(plan(4096, 4096, 4096).dispatches).toHaveLength(1);
    expect(plan(8, 128, 8).dispatches).toHaveLength(1);
  });

  it('writes one text for all sizes of a kind', () => {
    expect(plan(100, 64, 300).dispatches[0]!.wgsl).toBe(plan(999, 128, 4096).dispatches[0]!.wgsl);
    expect(plan(3000, 64, 8).dispatches[0]!.wgsl).toBe(plan(9999, 200, 8).dispatches[0]!.wgsl);
  });
});
