import { expect, test } from 'vitest';
import { killSaveModel, killTraining } from '../tools/kill-series.ts';

// Some of each, always the same; `pnpm --filter @peftjs/trainer kills` does as many as one likes.
test('of a run that is killed nothing is lost but the step in flight', async () => {
  expect(await killTraining({ seed: 5, count: 2 })).toBe(1);
}, 120_000);

test('a save of a model that is killed leaves the old one or the new one', async () => {
  const found = await killSaveModel({ seed: 3, count: 3 });
  expect(found[0]! + found[1]!).toBe(3);
}, 120_000);
