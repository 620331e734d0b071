import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { withheld } from '../src/classes/class-task.ts';
import { classFiles, triedRates } from '../src/classes/classes.ts';
import { images } from '../src/classes/images.ts';
import { imagesPage } from '../src/classes/images-page.ts';
import { addRun, type Run, readRuns } from '../src/classes/runs.ts';
import { spam } from '../src/classes/spam.ts';
import { spamPage } from '../src/classes/spam-page.ts';
import { paths } from '../src/paths.ts';

const run = (own: Partial<Run>): Run => ({
  method: 'lora',
  stack: 'ours',
  on: 'test',
  learningRate: 0.0032,
  seed: 0,
  steps: spam.steps,
  batchSize: spam.batchSize,
  threads: 1,
  parameters: 74498,
  accuracy: 0.9,
  macroF1: 0.9,
  loss: 0.3,
  first: [0.7, 0.69, 0.68],
  rowsPerSecond: 100,
  resident: 2 ** 28,
  planned: 2 ** 24,
  ...own,
});

/** Two runs, a tenth apart. */
const twice = (own: Partial<Run>, accuracy: number): Run[] =>
  [0, 1].map((seed) => run({ ...own, seed, accuracy: accuracy + 0.1 * seed }));

test('the pages in the repository are what their runs make; pnpm bench --page writes them anew', async () => {
  for (const [name, text] of await classFiles(paths.results))
    expect(await readFile(join(paths.docs, name), 'utf8'), name).toBe(text);
});

test('two libraries are within noise where their means are no further apart than both spread', () => {
  const near = { rowsPerSecond: 50, resident: 2 ** 29, first: [0.7, 0.69, 0.68004] };
  const [[, text], [, figure]] = spamPage([
    ...twice({}, 0.8),
    ...twice({ stack: 'peer', planned: null, ...near }, 0.9),
    ...twice({ method: 'ia3' }, 0.5),
    ...twice({ method: 'ia3', stack: 'peer' }, 0.8),
    run({ method: 'bitfit' }),
    run({ method: 'bitfit', stack: 'peer', parameters: 1 }),
  ]) as [[string, string], [string, string]];
  const rowsOf = (method: string): string[] => text.split('\n').filter((line) => line.startsWith(`| \`${method}\``));
  expect(rowsOf('lora')[0]).toContain('| 85.0 ± 7.1 | 95.0 ± 7.1 | 90.0 ± 0.0 | 90.0 ± 0.0 | yes |');
  expect(rowsOf('lora')[1]).toBe('| `lora` | 2,400 | 1,200 | 2.00 | 256 | 512 | 0.50 | 4e-5 |');
  expect(rowsOf('ia3')[0]).toContain('| no |');
  expect(rowsOf('bitfit')[0]).toContain('| – |');
  expect(text).toContain('The sides do not train as many parameters of `bitfit`');
  expect(text).toContain(`${2 * 6 * 3 - 10} of 36 runs are not there yet`);
  expect(figure).toContain('<title>ia3, PyTorch: 85.0 %</title>');
  expect(text + figure).not.toMatch(/NaN|undefined|Infinity/);
});

test('methods for pictures are told apart from the head alone only where spread allows it', () => {
  const of = { steps: images.steps, batchSize: images.batchSize };
  const [[, text]] = imagesPage([
    ...twice({ ...of, method: 'the head alone' }, 0.4),
    ...twice({ ...of }, 0.8),
    ...twice({ ...of, method: 'ssf' }, 0.5),
    run({ ...of, on: 'validation', loss: null }),
    run({ ...of, on: 'validation', learningRate: 0.001 }),
  ]) as [[string, string], [string, string]];
  expect(text).toContain('Above the head alone by more than both spread: `lora`.');
  expect(text).toContain('Not told apart from it: `ssf`.');
  expect(text).toContain('| `lora` | **0.001: 0.300** · 0.0032: diverged |');
  expect(text.indexOf('| `lora` |')).toBeLessThan(text.indexOf('| `ssf` |'));
  expect(text).not.toMatch(/NaN|undefined|Infinity/);
});

test('rates are judged by examples withheld, none of them learnt or tested', async () => {
  const data = await images.data('');
  const { train, test: judged } = withheld(data);
  expect([train.length, judged.length]).toEqual([225, 75]);
  expect(new Set([...train, ...judged])).toEqual(new Set(data.train));
  expect(new Set(judged.map(({ label }) => label)).size).toBe(3);
  const runs = [
    run({ on: 'validation', learningRate: 0.01, loss: null }),
    run({ on: 'validation', loss: 0.5 }),
    run({}),
  ];
  expect([...triedRates(spam.contenders[0]!, runs)]).toEqual([
    [6, Number.POSITIVE_INFINITY],
    [5, 0.5],
  ]);
});

test('runs that were made otherwise are made again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-classes-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'spam.jsonl'), `${JSON.stringify(run({ steps: 7 }))}\n`);
  expect(await readRuns(dir, spam)).toEqual([]);
  await addRun(dir, spam, run({}));
  expect(await readRuns(dir, spam)).toEqual([run({})]);
});
