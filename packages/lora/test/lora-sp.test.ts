import { attach, makeTransformRun, projected } from '@peftjs/core';
import { add, compile, constant, reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { loraSp } from '../src/index.ts';

/** Which entries of the factors move in each of three steps that move all by one, as texts of 0 and 1, and the share of those. */
const movedIn = async (redraw: boolean): Promise<readonly (readonly [moved: string, share: number])[]> => {
  const executor = reference();
  const { params, project } = attach(tinyLlama(), [loraSp({ rank: 4, redraw, share: 0.25 })]);
  const run = makeTransformRun(undefined);
  const next = new Map([...params.values()].map((p) => [p, add(p, 1)]));
  const after = projected(project!, next, run.step(constant(Float32Array.of(1), [])));
  const outputs = Object.fromEntries([...params].map(([name, p]) => [name, after.get(p)!]));
  const executable = await compile({ outputs }, { executor });
  const found: (readonly [string, number])[] = [];
  for (let step = 0; step < 3; step++) {
    const values = await executable.run(run.feeds(step, 1e-2));
    const moved: number[] = [];
    for (const [name, p] of params) {
      const before = await executor.read(p);
      moved.push(...Array.from(values[name]!, (v, i) => (v === before[i] ? 0 : 1)));
    }
    found.push([moved.join(''), moved.reduce((a, b) => a + b, 0) / moved.length]);
  }
  executable.close();
  return found;
};

test('the same entries move in all steps, and as many as asked for', async () => {
  const found = await movedIn(false);
  expect(new Set(found.map(([moved]) => moved)).size).toBe(1);
  expect(found[0]![1]).toBe(0.25);
});

test('other entries move in each step where they are drawn anew', async () => {
  const found = await movedIn(true);
  expect(new Set(found.map(([moved]) => moved)).size).toBe(3);
  for (const [, share] of found) expect(Math.abs(share - 0.25)).toBeLessThan(0.08);
});
