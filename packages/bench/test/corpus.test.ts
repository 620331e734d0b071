import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Corpus, corpusFiles } from '../src/corpus/corpus.ts';
import { corpusPage, growthOf } from '../src/corpus/page.ts';
import { machine } from '../src/machine.ts';
import { paths } from '../src/paths.ts';

/** 100 MB at a million tokens in ten seconds for every 10 MB, in which memory grows by 2 MB. */
const moments = Array.from({ length: 11 }, (_, i) => ({
  bytes: i * 1e7,
  tokens: i * 1e6,
  seconds: 20 * i,
  work: 10 * i,
  resident: 2e8 + i * 2e6,
}));
const outcome: Corpus = {
  model: 'tiny',
  megabytes: 100,
  context: 256,
  rows: 8,
  lines: 5000,
  bytes: 1e8,
  tokens: 1e7,
  cut: 0,
  moments,
  resume: { seconds: 1, work: 0.5 },
  trainedPerProcessorSecond: 5000,
  date: '2026-01-01 00:00',
  machine: machine(),
  othersBusy: 0.2,
};

test('the page tells speed, growth and resuming, and when the machine was busy', () => {
  expect(growthOf(moments)).toBeCloseTo(2, 9);
  const { page, figure } = corpusPage([outcome]);
  expect(page).toContain('| tiny | 100,000 | 1.00 | 5,000 | 20.0 | 204 to 220 MB | 2.0 | 0.50 s | 1.00 s |');
  expect(page).toContain('Nothing else ran');
  expect(figure).toContain('tokens a second of a processor');
  expect(corpusPage([{ ...outcome, othersBusy: 9 }]).page).toContain('**The machine was busy**');
});

test('the page is that of the results', async () => {
  for (const [name, text] of await corpusFiles(paths.results))
    expect(await readFile(join(paths.docs, name), 'utf8'), name).toBe(text);
});
