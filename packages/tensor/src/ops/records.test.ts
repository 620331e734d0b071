import { describe, expect, it } from 'vitest';
import { evaluate } from '../compile.ts';
import type { AnyOp } from '../define-op.ts';
import { nodeFlops } from '../flops.ts';
import type { OpNode } from '../graph.ts';
import { halfToNumber } from '../half.ts';
import { reference } from '../reference/executor.ts';
import { sizeOf } from '../shape.ts';
import { sampleInputs, sampleOutputs, sampleTitle } from '../testing/samples.ts';
import * as records from './records.ts';

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
      const results = await evaluate(Object.fromEntries(outs.map((t, i) => [`out${i}`, t])), {
        executor: reference(),
        feeds,
      });
      for (const [i, out] of outs.entries()) {
        const data = results[`out${i}`]!;
        expect(data.length).toBe(sizeOf(out.shape));
        const values = out.dtype === 'f16' ? Array.from(data, halfToNumber) : Array.from(data);
        expect(values.filter((v) => !Number.isFinite(v))).toEqual([]);
      }
      expect(nodeFlops(outs[0]!.node as OpNode, { isUsed: () => true })).toBeGreaterThanOrEqual(0);
    });
  });
}
