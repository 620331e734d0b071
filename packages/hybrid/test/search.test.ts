import { randomSource } from '@peftjs/tensor';
import { describe, expect, test, vi } from 'vitest';
import {
  bayesian,
  evolving,
  randomly,
  type SearchOptions,
  type Strategy,
  search,
  type Trial,
  trialsFigure,
  trialsTable,
} from '../src/index.ts';
import { expectedImprovement } from '../src/search/bayesian.ts';
import { paretoFront, strips } from '../src/search/front.ts';
import { gaussianProcess } from '../src/search/gaussian-process.ts';
import { coordinates } from '../src/search/space.ts';

const widths = [0, 1, 2, 4, 8, 16, 32, 64];
const bits = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`layer${i}`, [false, true]]));
const space = { rank: widths, adapter: widths, place: ['attention', 'mlp', 'both'], ...bits };
type Point = { rank: number; adapter: number; place: string } & { [layer: string]: boolean | number | string };

const layersOf = (point: Point): number => Object.keys(bits).filter((name) => point[name]).length;

/** A loss that a few dimensions decide, with a little that looks like noise. */
const objective = (given: object): number => {
  const point = given as Point;
  const late = point['layer6'] && point['layer7'] ? 0.4 : 0;
  const rough = 0.01 * randomSource(0, JSON.stringify(point))();
  return (
    3 - 0.5 * Math.log2(1 + point.rank) * (point.place === 'both' ? 0.3 : 0.2) - late + 0.004 * point.adapter + rough
  );
};
const parameters = (given: object): number => {
  const point = given as Point;
  return (point.rank * 10 + point.adapter * 20) * layersOf(point);
};
const options = { space, objective, budget: 30 } as const;

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
const seeds = [0, 1, 2];

describe('search', () => {
  test.each<[string, number, Strategy]>([
    ['bayesian', 30, bayesian({ initial: 8, looks: 300 })],
    ['evolving', 200, evolving()],
  ])('%s finds better than the median of random searches of equal budget, %i', async (_, budget, strategy) => {
    const best = async (by: Strategy, seed: number): Promise<number> =>
      (await search({ ...options, budget, strategy: by, seed })).best.loss!;
    const random = await Promise.all(Array.from({ length: 10 }, (__, seed) => best(randomly(), seed)));
    const found = await Promise.all(seeds.map((seed) => best(strategy, seed)));
    expect(median(found)).toBeLessThan(median(random));
  });

  test('of loss and parameters ends with more area under its front than the median of random ones', async () => {
    const area = ({ front }: Awaited<ReturnType<typeof search>>): number =>
      strips(
        front.map(({ loss, parameters: n }) => ({ loss: loss!, cost: Math.log1p(n) })),
        { loss: 3.5, cost: 10 },
      )
        .slice(1)
        .reduce((sum, { from, to, level }) => sum + (to - from) * (3.5 - level), 0);
    const run = async (strategy: Strategy, seed: number): Promise<number> =>
      area(await search({ ...options, parameters, strategy, seed }));
    const random = await Promise.all(Array.from({ length: 10 }, (_, seed) => run(randomly(), seed)));
    const found = await Promise.all(seeds.map((seed) => run(bayesian({ initial: 8, looks: 300 }), seed)));
    expect(median(found)).toBeGreaterThan(median(random));
  });

  test.each<[string, Strategy]>([
    ['bayesian', bayesian({ initial: 4 })],
    ['evolving', evolving({ population: 4 })],
    ['randomly', randomly()],
  ])('%s goes on after a kill as if there had been none', async (_, strategy) => {
    const whole = await search({ ...options, budget: 14, parameters, strategy });
    const written: string[] = [];
    const killed = search({
      ...options,
      budget: 14,
      parameters,
      strategy,
      onTrial: (trial, n) => {
        written.push(JSON.stringify(trial));
        if (n === 9) throw new Error('killed');
      },
    });
    await expect(killed).rejects.toThrow('killed');
    const past = written.map((line) => JSON.parse(line) as Trial<typeof space>);
    const counted = vi.fn(objective);
    const resumed = await search({ ...options, objective: counted, budget: 14, parameters, strategy, past });
    expect(counted).toHaveBeenCalledTimes(5);
    expect(resumed.trials).toEqual(whole.trials);
    expect(resumed.front).toEqual(whole.front);
  });

  test('tries no point twice, none that trains nothing or more than most, and ends where none is left', async () => {
    const small = { a: [0, 1, 2], b: ['x', 'y'] } as const;
    const tried = await search({
      space: small,
      budget: 100,
      objective: ({ a }) => a,
      parameters: ({ a, b }) => a * (b === 'x' ? 1 : 10),
      most: 10,
      strategy: bayesian({ initial: 2 }),
    });
    const points = tried.trials.map(({ point: { a, b } }) => `${a}${b}`);
    expect([...points].sort()).toEqual(['1x', '1y', '2x']);
    expect(tried.front.map(({ parameters: n }) => n)).toEqual([1]);
  });

  test('counts a loss that is not finite as a trial that found nothing', async () => {
    const { trials, best } = await search({
      space: { rate: [1, 2, 3, 4, 5, 6] },
      budget: 6,
      objective: ({ rate }) => (rate > 3 ? Number.NaN : 1 / rate),
      strategy: bayesian({ initial: 2 }),
    });
    expect(
      trials
        .filter(({ loss }) => loss === null)
        .map(({ point }) => point.rate)
        .sort(),
    ).toEqual([4, 5, 6]);
    expect(best.point.rate).toBe(3);
    await expect(search({ space: { a: [1] }, budget: 1, objective: () => Number.POSITIVE_INFINITY })).rejects.toThrow(
      'the objective was not finite in any of 1 trials',
    );
  });

  test('refuses what makes no sense, and says what to do', async () => {
    const sound = { space: { a: [1, 2] }, budget: 2, objective: () => 1 };
    const refused = async (odd: object, message: string): Promise<void> =>
      expect(search({ ...sound, ...odd } as SearchOptions<{ a: number[] }>)).rejects.toThrow(message);
    await refused({ space: {} }, 'space has no dimension');
    await refused({ space: { a: [1, 1] } }, 'a has a choice twice');
    await refused({ space: { a: [] } }, 'a must be a list of choices');
    await refused({ budget: 0 }, 'budget must be a whole number');
    await refused({ most: 3 }, 'most needs parameters');
    await refused({ parameters: () => 0 }, 'no point of the space may be tried');
    await refused({ past: [{ point: { a: 3 }, loss: 1, parameters: 0 }] }, 'a past trial has a 3');
    await refused({ past: [{ point: { a: 1 }, loss: 'low', parameters: 0 }] }, 'a past trial has loss low');
    expect(() => bayesian({ initial: 0 })).toThrow('initial must be');
    expect(() => evolving({ mutation: 2 })).toThrow('mutation must be');
  });

  test('has a table and a figure of its trials', async () => {
    const found = await search({ ...options, budget: 6, parameters, strategy: randomly() });
    const table = trialsTable(found).split('\n');
    expect(table).toHaveLength(8);
    expect(table[0]).toContain('| trial | loss | parameters | rank | adapter | place | layer0 |');
    expect(table.filter((line) => line.includes('\\*'))).toHaveLength(found.front.length);
    const figure = trialsFigure(found);
    expect(figure.match(/<circle/g)).toHaveLength(6);
    expect(figure).not.toMatch(/NaN|e\+/);
    expect(trialsFigure(await search({ ...options, budget: 2, strategy: randomly() }))).not.toMatch(/NaN|Infinity/);
  });
});

describe('a Gaussian process', () => {
  test('predicts a smooth function between its places, and knows less far from them', () => {
    const f = (x: number): number => Math.sin(4 * x);
    const xs = Array.from({ length: 9 }, (_, i) => [i / 10, ((i * 7) % 9) / 9]); // the second decides nothing
    const predict = gaussianProcess(
      xs,
      xs.map(([x]) => 5 + 3 * f(x!)),
    );
    for (const x of [0.15, 0.42, 0.77]) {
      expect(Math.abs(predict([x, 0.5]).mean - (5 + 3 * f(x)))).toBeLessThan(0.3);
      expect(predict([x, 0.5]).deviation).toBeLessThan(predict([1.8, 0.5]).deviation);
    }
  });

  test('of equal values predicts them', () => {
    const predict = gaussianProcess([[0], [1]], [2, 2]);
    expect(predict([0.5]).mean).toBeCloseTo(2);
  });
});

test('expected improvement is the mean of what lies below the level', () => {
  const random = randomSource(4);
  const draws = Array.from(
    { length: 200_000 },
    () => 1 + 0.5 * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
  for (const level of [0.3, 1, 1.6]) {
    const wanted = draws.reduce((sum, y) => sum + Math.max(0, level - y), 0) / draws.length;
    expect(expectedImprovement(level, { mean: 1, deviation: 0.5 })).toBeCloseTo(wanted, 2);
  }
});

test('a Pareto front holds what nothing beats in both aims', () => {
  const trial = (parameters: number, loss: number | null) => ({ parameters, loss });
  const [a, b, c] = [trial(10, 2), trial(20, 1.5), trial(40, 1)];
  expect(paretoFront([c, trial(20, 1.7), b, trial(50, 1), trial(5, null), a, trial(11, 2)])).toEqual([a, b, c]);
});

test('coordinates of numbers lie in their order, others equally far apart', () => {
  const of = (place: number[]) => coordinates({ a: [1, 2, 4], b: ['x', 'y', 'z'], c: [5] }, place);
  const apart = (one: number[], other: number[]): number => Math.hypot(...one.map((v, i) => v - other[i]!));
  expect(apart(of([0, 0, 0]), of([2, 0, 0]))).toBeCloseTo(2 * apart(of([0, 0, 0]), of([1, 0, 0])));
  expect(apart(of([0, 0, 0]), of([0, 1, 0]))).toBeCloseTo(1);
  expect(apart(of([0, 1, 0]), of([0, 2, 0]))).toBeCloseTo(1);
});
