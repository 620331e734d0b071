import { baseModelDir } from '@peftjs/base-model';
import { loadModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { figureOf } from '../src/figure.ts';
import { contestants, parametersOf } from '../src/methods.ts';
import { pageOf } from '../src/report.ts';
import { makeSuite } from '../src/suite/tasks.ts';
import type { Trial } from '../src/trial.ts';

const suite = makeSuite({ train: 8, test: 8 });
const names = suite.tasks.map(({ name }) => name);

const trial = (method: string, seed: number, exact: number, loss: number): Trial => ({
  method,
  seed,
  rate: 5e-3,
  steps: 60,
  fewSteps: 10,
  batchSize: 8,
  tests: 8,
  parameters: 50_176,
  seconds: 7,
  tasks: Object.fromEntries(names.map((name) => [name, { exact, loss }])),
  transfer: { exact: 0.5, loss: 1.5 },
});

test('methods are compared at equal parameters, or not at all', async () => {
  const model = await loadModel(baseModelDir());
  const all = contestants(model, suite.tasks.length + 1);
  const [first] = all;
  for (const { method } of all)
    expect(Math.abs(parametersOf(model, method) / parametersOf(model, first!.method) - 1)).toBeLessThanOrEqual(0.1);
  expect(() => contestants(model, 2)).toThrow(
    /methods are compared at 14336 trained values, ±10 %; .*multitaskPromptTuning trains/,
  );
});

test('the page has means and ranges of the seeds, and – where a method was not tried', () => {
  const only: Trial = { ...trial('loraHub', 0, 0, 0), tasks: {} };
  const trials = [trial('one', 0, 0.25, 2), trial('one', 1, 0.75, 3), only];
  const page = pageOf(trials, [], [{ method: 'one', besideLora: 1.234 }], suite);
  const line = (start: string): string[] => page.split('\n').filter((text) => text.startsWith(start));
  const cells = (of: string): string => names.map(() => of).join(' | ');
  expect(line('| `one`')).toEqual([
    `| \`one\` | 50,176 | 0.005 | ${cells('50 ± 25')} | 50.0 ± 25.0 | 2 | 7 |`,
    `| \`one\` | ${cells('2.50 ± 0.50')} | 2.50 ± 0.50 | 1.50 ± 0.00 | 50 ± 0 |`,
    '| `one` | 1.23 |',
  ]);
  expect(line('| `loraHub`')).toEqual([`| \`loraHub\` | ${cells('–')} | – | 1.50 | 50 |`]);
  const figure = figureOf(trials, names, suite.leftOut.name);
  expect(figure.match(/<rect x="210" y="\d+" width="[\d.]+" height="10" fill="#3f6bdd"/g)).toHaveLength(2); // the legend's, and one bar
  expect(figure).not.toContain('NaN');
});

test('the page tells which rates were tried, which one was taken, and which runs are not there', () => {
  const trials = [trial('one', 0, 0.25, 2), trial('one', 1, 0.75, 3), trial('two', 0, 0.5, 2)];
  const tuning = [{ ...trial('one', 9, 0, 4), rate: 0.1 }, trial('one', 9, 0, 5)];
  const page = pageOf(trials, tuning, [], suite, ['one', 'two', 'three']);
  expect(page).toContain('| `one` | 0.005: 5.00 · **0.1: 4.00** | 0.005 |');
  expect(page).toContain('Runs that have not been made: `two` 1 of 2, `three` 0 of 2.');
});
