import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { paths } from '../src/paths.ts';
import { quantizedPage } from '../src/quantized/page.ts';
import { quantizedFiles } from '../src/quantized/quantized.ts';
import { addOutcome, type Outcome, outcomesFile, readOutcomes } from '../src/quantized/results.ts';
import { runs, settings } from '../src/quantized/runs.ts';

const outcome = (own: Partial<Outcome>): Outcome => ({
  ...settings,
  model: 'small',
  name: 'QLoRA',
  of: 'nf2()',
  weights: 3e6,
  learningRate: 1e-3,
  bits: 2.13,
  parameters: 1000,
  base: 5,
  before: 5,
  after: 4.8,
  merged: 5.1,
  undone: 7,
  planned: 2 ** 20,
  resident: 2 ** 21,
  seconds: 1,
  ...own,
});

test('the page in the repository is what its runs make; pnpm bench --page writes it anew', async () => {
  for (const [name, text] of await quantizedFiles(paths.results))
    expect(await readFile(join(paths.docs, name), 'utf8'), name).toBe(text);
});

test('two bits are told as they are: LoftQ below plain QLoRA, or above it', () => {
  const [plain, lower, higher] = [
    outcome({}),
    outcome({ name: 'LoftQ', before: 4.9, after: 4.7 }),
    outcome({ name: 'LoftQ', after: 4.9 }),
  ];
  expect(quantizedPage([plain, lower])).toContain('LoftQ begins 0.100 and ends 0.100 nats below plain QLoRA');
  expect(quantizedPage([plain, higher])).toContain('LoftQ ends 0.100 nats above plain QLoRA');
  expect(quantizedPage([plain])).toContain(`${runs.length - 1} of ${runs.length} runs are not there yet`);
});

test('runs that were made otherwise, and a line that was cut short, are made again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-quantized-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const lines = [outcome({}), { ...outcome({ name: 'LoftQ' }), steps: 7 }].map((line) => `${JSON.stringify(line)}\n`);
  await writeFile(outcomesFile(dir), `${lines.join('')}{"model":"sm`);
  expect((await readOutcomes(dir)).map(({ name }) => name)).toEqual(['QLoRA']);
  await addOutcome(dir, outcome({ name: 'LoftQ' }));
  expect((await readOutcomes(dir)).map(({ name }) => name)).toEqual(['QLoRA', 'LoftQ']);
});
