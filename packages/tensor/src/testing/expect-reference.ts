import { expect } from 'vitest';
import { evaluate, type OnExecutor } from '../compile.ts';
import type { AnyOp } from '../define-op.ts';
import { reference } from '../reference/executor.ts';
import { apart } from './known.ts';
import { sampleInputs, sampleOutputs } from './samples.ts';

/** Options of a comparison: the compared executor, its name, and how near is near enough. */
export interface ExpectOptions extends OnExecutor {
  /** Part of the largest output. Default 1e-5. */
  readonly tolerance?: () => number;
  readonly title?: () => string;
}

/** Asserts that an executor computes a sample of an op as the reference does. */
export const expectReference = async (
  op: AnyOp,
  sample: Parameters<typeof sampleInputs>[1],
  { executor, tolerance = () => 1e-5, title = () => '' }: ExpectOptions,
): Promise<void> => {
  const { tensors, feeds } = sampleInputs(op, sample, 3);
  const outs = sampleOutputs(op, sample, tensors);
  const outputs = Object.fromEntries(outs.map((t, i) => [`out${i}`, t]));
  const [got, wanted] = [
    await evaluate(outputs, { executor, feeds }),
    await evaluate(outputs, { executor: reference(), feeds }),
  ];
  for (const name of Object.keys(outputs)) {
    const scale = Math.max(1e-3, ...Array.from(wanted[name]!, Math.abs));
    expect(apart([...got[name]!], [...wanted[name]!]) / scale, `${name} ${title()}`).toBeLessThan(tolerance());
  }
};
