import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ratesOf } from '../src/load/figure.ts';
import { type Load, loadFiles } from '../src/load/load.ts';
import { growthOf, loadPage } from '../src/load/page.ts';
import { machine } from '../src/machine.ts';
import { paths } from '../src/paths.ts';

/** A minute at 100 tokens a second, in which memory grows by 6 MiB. */
const moments = Array.from({ length: 13 }, (_, i) => ({
  seconds: 5 * i,
  tokens: 500 * i,
  residentBytes: (200 + i / 2) * 2 ** 20,
}));
const outcome: Load = {
  date: '2026-01-01 00:00',
  machine: machine(),
  othersBusy: 0.2,
  clients: 4,
  adapters: 2,
  rows: 8,
  minutes: 1,
  startSeconds: 1,
  one: { tokensPerSecond: 25, seconds: 10 },
  moments,
  answers: 300,
  tokens: 6000,
  errors: {},
  unlike: 0,
  waits: { median: 1, most: 2 },
  counted: { prompt: 4000, known: 1000, written: 6000 },
  killed: { filesWhole: true, left: 0, startSeconds: 1, same: 4, asked: 4 },
  stoppedWith: 0,
};

test('speed and growth come from the moments of a load', () => {
  for (const [, rate] of ratesOf(moments)) expect(rate).toBeCloseTo(100, 9);
  expect(growthOf(moments)).toBeCloseTo(6, 9);
});

test('the page tells what is wrong as plainly as what is well', () => {
  const { page, figure } = loadPage(outcome);
  expect(page).toContain('100; one client alone 25, so 4.00 times as many');
  expect(page).toContain('| errors | none |');
  expect(page).toContain('Nothing else ran');
  expect(figure).toContain('one client: 25');
  const bad = loadPage({ ...outcome, errors: { '500 broken': 3 }, unlike: 2, othersBusy: 12 }).page;
  expect(bad).toContain('| errors | 3 × 500 broken |');
  expect(bad).toContain('2 of 300');
  expect(bad).toContain('**The machine was busy**');
});

test('the page is that of the results', async () => {
  for (const [name, text] of await loadFiles(paths.results))
    expect(await readFile(join(paths.docs, name), 'utf8'), name).toBe(text);
});
