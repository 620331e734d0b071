import { describe, expect, it } from 'vitest';
import { type AnyOp, byName } from '../define-op.ts';
import { evaluate } from '../executor.ts';
import { nodeFlops } from '../flops.ts';
import type { OpNode } from '../graph.ts';
import { halfToNumber } from '../half.ts';
import type { KernelPlan } from '../kernel.ts';
import { reference } from '../reference/executor.ts';
import { sizeOf } from '../shape.ts';
import { sampleInputs, sampleOutputs, sampleTitle } from '../testing/samples.ts';
import * as records from './records.ts';

const device = {
  gpu: { f16: true, subgroups: true, software: false, workgroupMemory: 16384, maxInvocations: 256 },
  software: { f16: false, subgroups: false, software: true, workgroupMemory: 16384, maxInvocations: 256 },
};

const outNames = (outs: readonly unknown[]): string[] => outs.map((_, i) => `out${i}`);

for (const [name, record] of Object.entries(records)) {
  const op = record as unknown as AnyOp;
  describe(`${name} on reference`, () => {
    it('is filed under its own name and has samples', () => {
      expect(op.name).toBe(name);
      expect(op.samples.length).toBeGreaterThan(0);
    });

    it.each(op.samples.map((sample) => [sampleTitle(sample), sample] as const))('%s', async (_, sample) => {
      const { tensors, feeds } = sampleInputs(op, sample, 1);
      const outs = sampleOutputs(op, sample, tensors);
      const results = await evaluate(Object.fromEntries(outs.map((t, i) => [`out${i}`, t])), reference(), feeds);
      for (const [i, out] of outs.entries()) {
        const data = results[`out${i}`]!;
        expect(data.length).toBe(sizeOf(out.shape));
        const values = out.dtype === 'f16' ? Array.from(data, halfToNumber) : Array.from(data);
        expect(values.filter((v) => !Number.isFinite(v))).toEqual([]);
      }
      expect(nodeFlops(outs[0]!.node as OpNode, { isUsed: () => true })).toBeGreaterThanOrEqual(0);
    });

    it('plans kernels that bind what they use and write what is read', () => {
      for (const sample of op.samples)
        for (const facts of Object.values(device)) {
          const { tensors } = sampleInputs(op, sample, 1);
          const { outs, inputs, attrs } = sampleOutputs(op, sample, tensors)[0]!.node as OpNode;
          if (op.kernel.kind !== 'dispatch') continue;
          const plan = op.kernel.plan as (io: unknown, attrs: unknown, facts: unknown) => KernelPlan;
          const { dispatches, temps = {} } = plan({ inputs: byName(op, inputs), outs }, attrs, facts);
          const known = new Set([...Object.keys(byName(op, inputs)), ...outNames(outs), ...Object.keys(temps)]);
          for (const { bindings, params = {}, wgsl, workgroups, emits } of dispatches) {
            expect(Number.isInteger(workgroups)).toBe(true);
            for (const b of bindings) {
              expect(known, b.buffer).toContain(b.buffer);
              expect(wgsl).toMatch(b.buffer === emits ? /\bemit\(/ : new RegExp(`\\b${b.as ?? b.buffer}\\b`));
            }
            for (const [, field] of wgsl.matchAll(/\bp\.(\w+)/g)) expect(Object.keys(params)).toContain(field);
          }
          const written = dispatches.flatMap((d) =>
            d.bindings.filter((b) => b.access === 'read_write').map((b) => b.buffer),
          );
          for (const [i, out] of outs.entries()) if (sizeOf(out.shape) > 0) expect(written).toContain(`out${i}`);
        }
    });
  });
}
