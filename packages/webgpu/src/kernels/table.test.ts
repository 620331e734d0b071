import { sizeOf } from '@peftjs/tensor';
import { byName, type OpNode, ops } from '@peftjs/tensor/executor';
import type { AnyOp } from '@peftjs/tensor/op';
import { sampleInputs, sampleOutputs } from '@peftjs/tensor/testing';
import { expect, it } from 'vitest';
import { kernelOf } from '../kernel-of.ts';

const device = {
  gpu: { f16: true, subgroups: true, software: false, workgroupMemory: 16384, maxInvocations: 256 },
  software: { f16: false, subgroups: false, software: true, workgroupMemory: 16384, maxInvocations: 256 },
};

const outNames = (outs: readonly unknown[]): string[] => outs.map((_, i) => `out${i}`);

it.each(Object.entries(ops))('the kernel of %s binds what it uses and writes what is read', (_, record) => {
  const op = record as unknown as AnyOp;
  const kernel = kernelOf(op);
  if (kernel.kind !== 'dispatch') return;
  for (const sample of op.samples)
    for (const facts of Object.values(device)) {
      const { tensors } = sampleInputs(op, sample, 1);
      const { outs, inputs, attrs } = sampleOutputs(op, sample, tensors)[0]!.node as OpNode;
      const { dispatches, temps = {} } = kernel.plan({ inputs: byName(op, inputs), outs }, attrs, facts);
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
