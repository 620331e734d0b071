import type { SearchResult, SearchSpace, Trial } from '@peftjs/hybrid';
import { expect, test } from 'vitest';
import { type Structure, structuresFigure, structuresPage } from '../src/structures-page.ts';

const trial = (parameters: number, loss: number | null): Trial => ({
  point: { serial: parameters, parallel: 0, prefix: 0, layer0: true, layer1: false },
  loss,
  parameters,
});
const trials = [trial(10, 3), trial(20, 2), trial(40, 2.5), trial(80, null)];
const result: SearchResult<SearchSpace> = { trials, best: trials[1]!, front: [trials[0]!, trials[1]!] };
const structure = (name: string, ...tests: number[]): Structure => ({
  name,
  point: trials[1]!.point,
  parameters: 20,
  losses: tests.map((loss) => ({ withheld: loss + 0.5, test: loss })),
});
const structures = [
  structure('bayesian', 2, 3),
  structure('evolving', 3.5),
  ...[1, 3, 9, 2.8].map((loss, i) => structure(`random ${i + 1}`, loss)),
];
const settings = { steps: 4, batchSize: 2, tests: 2, rate: 5e-3, budget: 4, initial: 2, most: 80, random: 4 };

test('the page compares what was found with the median of the random structures, and sorts them', () => {
  const page = structuresPage({ bayesian: result, evolving: result }, structures, settings);
  expect(page).toContain(
    'The median of the random ones is 2.900: `bayesian` 2.500 (its trial 2), 0.400 below it; `evolving` 3.500 (its trial 2), 0.600 above it.',
  );
  const names = page.split('\n').flatMap((line) => line.match(/^\| (\*\*\w+\*\*|random \d) \|/)?.[1] ?? []);
  expect(names).toEqual(['random 1', '**bayesian**', 'random 4', 'random 2', '**evolving**', 'random 3']);
  expect(page).toContain('serial 20; layers 0 |');
});

test('the figure has every finite trial, the random structures and a line for each search', () => {
  const figure = structuresFigure({ bayesian: result, evolving: result }, structures);
  expect(figure.match(/<circle/g)).toHaveLength(3 + 4 + 2 * 3); // the legend's, too
  expect(figure.match(/fill="none"/g)).toHaveLength(2);
  expect(figure).not.toMatch(/NaN|Infinity/);
});
