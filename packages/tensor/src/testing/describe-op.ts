import { describe, test } from 'vitest';
import { compile, type Executor } from '../compile.ts';
import type { AnyOp, Sample } from '../define-op.ts';
import { reference } from '../reference/executor.ts';
import { mustMatch } from './must-match.ts';
import { sampleInputs, sampleOutputs, sampleTitle } from './samples.ts';
import { tolerances } from './tolerances.ts';

const loose: Readonly<Record<string, number>> = { sin: tolerances.trigonometry, cos: tolerances.trigonometry };

/** An executor computes a sample as the op's definition does, twice over, and each output also when it alone is wanted. */
const check = async (op: AnyOp, sample: Sample<string, unknown>, executor: Executor): Promise<void> => {
  const { tensors, feeds } = sampleInputs(op, sample, 2);
  const outs = sampleOutputs(op, sample, tensors);
  const outputs = Object.fromEntries(outs.map((t, i) => [`out${i}`, t]));
  const wanted = await (await compile({ outputs }, { executor: reference() })).run(feeds);
  // The second run finds memory as the first left it.
  const run = async (names: readonly string[], times: number): Promise<void> => {
    const executable = await compile({ outputs: Object.fromEntries(names.map((n) => [n, outputs[n]!])) }, { executor });
    for (let i = 0; i < times; i++) {
      const got = await executable.run(feeds);
      for (const n of names)
        mustMatch(names.length < outs.length ? `${n} alone` : n, outputs[n]!, got[n]!, wanted[n]!, loose[op.name]);
    }
    executable.close();
  };
  await run(Object.keys(outputs), 2);
  if (outs.length > 1 && sample === op.samples[0]) for (const name of Object.keys(outputs)) await run([name], 1);
};

/** Tests of an op's record on an executor: every sample, against the op's definition. */
export const describeOp = (op: AnyOp, executor: string, open: () => Executor | Promise<Executor>): void => {
  describe(`${op.name} on ${executor}`, () => {
    test.each(op.samples.map((sample) => [sampleTitle(sample), sample] as const))('%s', async (_, sample) =>
      check(op, sample, await open()),
    );
  });
};
