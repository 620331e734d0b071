import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AnyOp } from '../define-op.ts';
import { isWhole, type TypedArray } from '../dtype.ts';
import { compile, type Executor } from '../executor.ts';
import { halfToNumber } from '../half.ts';
import * as records from '../ops/records.ts';
import { reference } from '../reference/executor.ts';
import type { Spec } from '../shape.ts';
import { sampleInputs, sampleOutputs, sampleTitle } from '../testing/samples.ts';
import { openGpu } from './dawn.ts';
import { executorOn } from './executor.ts';

const numbers = ({ dtype }: Spec, data: TypedArray): number[] =>
  dtype === 'f16' ? Array.from(data, halfToNumber) : Array.from(data);

/** The largest difference, relative to the larger of 1 and the value; whole numbers must be equal. */
const distance = (spec: Spec, got: TypedArray, want: TypedArray): number => {
  expect(got.length).toBe(want.length);
  const wanted = numbers(spec, want);
  return numbers(spec, got).reduce((worst, v, i) => {
    const d = Math.abs(v - wanted[i]!) / (isWhole(spec.dtype) ? 1 : Math.max(1, Math.abs(wanted[i]!)));
    return Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(worst, d);
  }, 0);
};

const tolerance = { f32: 5e-5, f16: 2e-3, i32: 0, u32: 0, u8: 0 };

/** WGSL promises no more of these. https://www.w3.org/TR/WGSL/#builtin-functions-accuracy */
const loose: Readonly<Record<string, number>> = { sin: 2 ** -11, cos: 2 ** -11 };

let executor: Executor;
// Memory is poisoned, and dispatches of more than 7 workgroups are folded.
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true, maxWorkgroups: 7 });
});
afterAll(() => executor.close());

for (const record of Object.values(records)) {
  const op = record as unknown as AnyOp;
  describe(`${op.name} on webgpu`, () => {
    it.each(op.samples.map((sample) => [sampleTitle(sample), sample] as const))('%s', async (_, sample) => {
      const { tensors, feeds } = sampleInputs(op, sample, 2);
      const outs = sampleOutputs(op, sample, tensors);
      const close = ({ dtype }: Spec): number => loose[op.name] ?? tolerance[dtype];
      const outputs = Object.fromEntries(outs.map((t, i) => [`out${i}`, t]));
      const wanted = await (await compile({ outputs }, reference())).run(feeds);
      const executable = await compile({ outputs }, executor);
      // The second run finds memory poisoned by the first.
      for (let run = 0; run < 2; run++) {
        const got = await executable.run(feeds);
        for (const [name, t] of Object.entries(outputs))
          expect(distance(t, got[name]!, wanted[name]!), name).toBeLessThanOrEqual(close(t));
      }
      // Each output alone, once per op: kernels are told which are wanted.
      for (const [name, t] of outs.length > 1 && sample === op.samples[0] ? Object.entries(outputs) : []) {
        const alone = await compile({ outputs: { [name]: t } }, executor);
        const got = await alone.run(feeds, { read: [name] });
        expect(distance(t, got[name]!, wanted[name]!), `${name} alone`).toBeLessThanOrEqual(close(t));
        alone.close();
      }
      executable.close();
    });
  });
}
