import { join } from 'node:path';
import { expect, test } from 'vitest';
import { modelDir } from '../src/python-golden.ts';
import { saidTexts, sftLosses } from '../src/sft-run.ts';
import { executors } from './executors.ts';

const folder = join(import.meta.dirname, '../data/sft');

test.each(['completion', 'wrapped', 'packed', 'chat'])('twenty losses of TRL, rows of %s', async (name) => {
  const executor = await executors[1]![1]();
  const { wanted, losses } = await sftLosses(modelDir('plain'), join(folder, name), { executor, learningRate: 1e-2 });
  await executor.close();
  expect(losses).toHaveLength(20);
  const apart = losses.map((loss, i) => Math.abs(loss - wanted[i]!));
  expect(Math.max(...apart)).toBeLessThan(5e-5);
});

test('what the assistant says is learnt of the same tokens as with a template that marks it in TRL', async () => {
  const { wanted, ours } = await saidTexts(join(folder, 'chat'));
  expect(ours).toHaveLength(40);
  expect(ours).toEqual(wanted);
});
