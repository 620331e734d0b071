import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { machine } from '../src/machine.ts';
import { paths } from '../src/paths.ts';
import { markdown } from '../src/report/markdown.ts';
import { performancePage } from '../src/report/page.ts';
import { filesOf, makePage } from '../src/report/page-files.ts';
import type { Results } from '../src/report/results.ts';
import type { Row } from '../src/run/measure.ts';
import { row } from './rows.ts';

const results = (date: string, rows: readonly Row[]): Results => ({
  date,
  command: 'pnpm bench --task lora-small',
  machine: machine(),
  settings: { rounds: 2, seconds: 2, budget: 40, threads: 2, toggles: [] },
  rows,
});

test('the page in the repository is what its results make; pnpm bench --page writes it anew', async () => {
  const { page, unused } = await makePage(paths.results);
  for (const [name, text] of filesOf(page)) expect(await readFile(join(paths.docs, name), 'utf8'), name).toBe(text);
  expect(unused, 'results that the page has no use for').toEqual([]);
  for (const { rows } of page.used)
    for (const { failure = '', device } of rows)
      expect(`${failure} ${device}`).not.toMatch(/\/(home|root|tmp|Users|work)\b/);
}, 240_000);

test('each task is shown by its newest results', () => {
  const old = results('2026-01-01T00:00:00.000Z', [
    row('ours-cpu', [1000, 1000]),
    row('ours-cpu', [64], { task: 'generate-small' }),
  ]);
  const fresh = results('2026-02-01T00:00:00.000Z', [row('ours-cpu', [2000, 2000]), row('torch', [1000, 1000])]);
  const older = results('2025-12-01T00:00:00.000Z', [row('ours-cpu', [7, 7])]);
  const { text, used } = performancePage([old, fresh, older], []);
  expect(used).toEqual(new Set([fresh, old]));
  expect(text).toContain('| ours-cpu | 2,000 | 1.0 % | 1.00 | 250 MB | 1.5 s | agrees |');
  expect(text).toContain('| torch | 1,000 | 1.0 % | 0.50 | 250 MB | 1.5 s | agrees |');
  expect(text).toContain('| ours-cpu | 64.0 | - | 1.00 | 250 MB | 1.5 s | agrees |');
  expect(text).not.toMatch(/NaN|undefined/);
});

test('tiny tasks are not shown; memory and scaling have tables of their own, scaling a figure', () => {
  const memory = { idle: 100e6, planned: 505e6, held: 500e6 };
  const { text, figures } = performancePage(
    [
      results('2026-02-01T00:00:00.000Z', [
        row('ours-cpu', [99], { task: 'smoke-lora' }),
        row('ours-cpu', [800], { task: 'memory-attention', peakBytes: 700e6, memory }),
        ...[1, 2, 4].map((size) => row('ours-cpu', [1000], { task: `scaling-batch-${size}`, device: '2 threads' })),
      ]),
    ],
    [],
  );
  expect(text).not.toContain('smoke');
  expect(text).toContain(
    '| + attention without scores | ours-cpu | 800 | 505.0 MB | 500.0 MB | 600.0 MB | 101.0 % | agrees |',
  );
  expect(text).toMatch(/\| batch \| ours-cpu \| 1: 128 {2}2: 256 {2}4: 512 \|.*\| 1\.0000 \| 0 % \|/);
  expect(text).toContain('| ours-cpu | 2 threads | this repository |');
  expect([...figures.keys()]).toEqual(['scaling.svg']);
});

test('a table in Markdown keeps its columns', () => {
  expect(
    markdown([
      ['a', 'b', 'c'],
      ['x|y', '1', ''],
    ]),
  ).toBe('| a | b | c |\n| --- | --: | --- |\n| x\\|y | 1 |  |');
});
