import { type AnyOp, type Executor, evaluate, ops, reference } from '@peftjs/tensor';
import { sampleInputs, sampleOutputs, sampleTitle } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { cpu } from '../src/index.ts';
import { expectClose } from './tolerance.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await cpu({ threads: 1 });
});
afterAll(() => executor.close());

describe.each((Object.values(ops) as unknown as AnyOp[]).map((op) => [op.name, op] as const))(
  '%s on cpu',
  (_name, op) => {
    it.each(op.samples.map((sample) => [sampleTitle(sample), sample] as const))('%s', async (_, sample) => {
      const { tensors, feeds } = sampleInputs(op, sample, 7);
      const outputs = Object.fromEntries(sampleOutputs(op, sample, tensors).map((t, i) => [`out${i}`, t]));
      const got = await evaluate(outputs, executor, feeds);
      const wanted = await evaluate(outputs, reference(), feeds);
      for (const [name, t] of Object.entries(outputs)) expectClose(t.dtype, got[name]!, wanted[name]!);
    });
  },
);
