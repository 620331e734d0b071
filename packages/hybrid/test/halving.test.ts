import { expect, test } from 'vitest';
import { halving, search, type Trial } from '../src/index.ts';

const space = { method: ['a', 'b', 'c'], rate: [0.3, 1, 3], steps: [4, 12, 36] } as const;
type Point = { readonly method: string; readonly rate: number; readonly steps: number };

/** Lower with more steps; `b` at 1 is best in the end, `c` at 1 in the beginning. */
const lossOf = ({ method, rate, steps }: Point): number => {
  const own = { a: 2, b: 1, c: steps === 4 ? 0.5 : 1.5 }[method]!;
  return own + Math.abs(Math.log(rate)) + 4 / steps;
};

const find = (past: readonly Trial<typeof space>[] = [], options: object = {}) =>
  search({ space, objective: lossOf, budget: 1000, past, strategy: halving({ effort: 'steps', ...options }) });

const stepsOf = (trials: readonly Trial<typeof space>[]): readonly number[] => trials.map(({ point }) => point.steps);

test('halving tries all with the least effort, a third with the next, and ends', async () => {
  const { trials, best } = await find();
  expect(stepsOf(trials)).toEqual([...Array(9).fill(4), ...Array(3).fill(12), 36]);
  expect(best.point).toEqual({ method: 'b', rate: 1, steps: 36 });
  // Those that go on are the best of their rung, the best first.
  const first = trials.slice(0, 9).sort((a, b) => a.loss! - b.loss!);
  expect(trials.slice(9, 12).map(({ point: { steps: _, ...own } }) => own)).toEqual(
    first.slice(0, 3).map(({ point: { steps: _, ...own } }) => own),
  );
});

test('halving goes on from any trial as if it had not ended', async () => {
  const { trials } = await find();
  for (const kept of [0, 4, 9, 11, 13]) expect((await find(trials.slice(0, kept))).trials).toEqual(trials);
});

test('halving draws so many candidates, and leaves behind what was not finite', async () => {
  const some = await find([], { candidates: 4, factor: 2 });
  expect(stepsOf(some.trials)).toEqual([4, 4, 4, 4, 12, 12, 36]);
  const { trials } = await search({
    space,
    objective: (point) => (point.method === 'c' ? Number.NaN : lossOf(point)),
    budget: 1000,
    strategy: halving({ effort: 'steps' }),
  });
  expect(trials.slice(9).every(({ point }) => point.method !== 'c')).toBe(true);
});

test('halving refuses an effort that does not grow', async () => {
  const strategy = halving({ effort: 'steps' });
  const run = (steps: readonly (number | string)[]) =>
    search({ space: { method: ['a'], steps }, objective: () => 1, budget: 9, strategy });
  await expect(run([3, 2])).rejects.toMatchObject({ code: 'bad-option' });
  await expect(run(['few', 'many'])).rejects.toMatchObject({ code: 'bad-option' });
  expect(() => halving({ effort: 'steps', factor: 1 })).toThrow(/factor/);
});
