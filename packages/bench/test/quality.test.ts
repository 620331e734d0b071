import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { methods } from '@peftjs/cli/shared';
import { cpu } from '@peftjs/onnx';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { paths } from '../src/paths.ts';
import { loadGround } from '../src/quality/ground.ts';
import { leftOut } from '../src/quality/methods.ts';
import { qualityPage } from '../src/quality/page.ts';
import { qualityFiles } from '../src/quality/quality.ts';
import { bestPlace, nextPlace, rateAt } from '../src/quality/rates.ts';
import { sized } from '../src/quality/sized.ts';
import { budget } from '../src/quality/sizes.ts';
import { standings } from '../src/quality/standing.ts';
import { tryOut } from '../src/quality/trial.ts';
import { openTrials, type Trial } from '../src/quality/trials.ts';

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'peftjs-quality-'))));
afterAll(() => rm(dir, { recursive: true, force: true }));

const length = { steps: 6, batchSize: 4 };

const trial = (own: Partial<Trial>): Trial => ({
  ...length,
  method: 'lora',
  options: { rank: 4 },
  parameters: budget,
  learningRate: 0.01,
  seed: 0,
  validation: 4.6,
  heldOut: 4.5,
  planned: 2 ** 20,
  seconds: 1,
  ...own,
});

/** Trials of a method whose best rate is 0.01. */
const searched = (own: Partial<Trial>): Trial[] => [
  trial(own),
  trial({ ...own, learningRate: 0.0032, validation: 9 }),
  trial({ ...own, learningRate: 0.032, validation: 9 }),
];

const base = trial({ method: 'base', options: {}, parameters: 0, learningRate: 0, heldOut: 4.8 });

test('the page in the repository is what its trials make; pnpm bench --page writes it anew', async () => {
  for (const [name, text] of await qualityFiles(paths.results))
    expect(await readFile(join(paths.docs, name), 'utf8'), name).toBe(text);
});

test('rates are tried on both sides of the best, and no further', () => {
  const losses = [9, 8, 7, 5, 4, 6, 9];
  for (const first of [0, 2, 4, 5, 6]) {
    const tried = new Map<number, number>();
    for (let at = nextPlace(first, tried); at !== null; at = nextPlace(first, tried)) tried.set(at, losses[at] ?? 99);
    expect(bestPlace(tried)).toBe(4);
    expect([3, 4, 5].every((place) => tried.has(place))).toBe(true);
    expect(tried.size).toBeLessThanOrEqual(7);
  }
  // A loss that falls for ever ends too.
  const tried = new Map<number, number>();
  for (let at = nextPlace(0, tried); at !== null; at = nextPlace(0, tried)) tried.set(at, -at);
  expect(tried.size).toBe(7);
  expect([2, 5, 6].map(rateAt)).toEqual([1e-4, 0.0032, 0.01]);
});

test('the best rate is that of validation, and the loss the mean of its seeds on held-out text', () => {
  const { methods: all, base: baseLoss } = standings([
    base,
    trial({ learningRate: 0.0032, validation: 4.7, heldOut: 4.4 }),
    trial({}),
    trial({ learningRate: 0.032, validation: null, heldOut: null }),
    trial({ seed: 1, heldOut: 4.6 }),
    ...searched({ method: 'dora', validation: 4.5, heldOut: 4.2 }),
    trial({ method: 'on its way', validation: 4.4 }),
    trial({ method: 'on its way', learningRate: 0.0032, validation: 4.5 }),
    ...[0.001, 0.0032, 0.01].map((learningRate) =>
      trial({ method: 'odd', learningRate, validation: null, heldOut: null }),
    ),
  ]);
  expect(baseLoss).toBe(4.8);
  expect(all.map(({ method }) => method)).toEqual(['dora', 'lora']);
  expect(all[1]).toMatchObject({
    learningRate: 0.01,
    loss: 4.55,
    seeds: 2,
    curve: [
      [0.0032, 4.7],
      [0.01, 4.6],
      [0.032, Infinity],
    ],
  });
  expect(all[1]!.spread).toBeCloseTo(Math.SQRT1_2 / 10, 12);
  expect(all[0]!.spread).toBeNull();
});

test('the page tells size, loss, gain, rates and speed, and of whom it knows less', () => {
  const speeds = [{ method: 'lora', tokensPerSecond: 7000, besideLora: 1 }];
  const { text, figure } = qualityPage(
    [base, ...searched({}), ...searched({ method: 'loReft', heldOut: 4.9 })],
    speeds,
  );
  expect(text).toContain(
    `| \`lora\` | 68,608 | 4.500 | – | 0.300 | 0.01 | ${methods.get('lora')!.learningRate} | 1 | 7,000 | 1.00 | rank 4 |`,
  );
  expect(text).toContain('| `loReft` | 68,608 | 4.900 | – | -0.100 |');
  expect(text).toContain('2 of 2 methods have fewer than three seeds so far');
  expect(figure).toContain('<title>lora: 68,608 trained, 4.5000 nats</title>');
  expect(text + figure).not.toMatch(/NaN|undefined/);
});

test('trials go on where they were stopped, in the middle of a line too', async () => {
  const file = join(dir, 'quality.jsonl');
  await writeFile(file, `${JSON.stringify(base)}\n${JSON.stringify(trial({ steps: 7 }))}\n{"method":"lo`);
  const trials = await openTrials(file, length);
  expect(trials.find('lora', { rank: 4 }, 0.01, 0)).toBeUndefined();
  await trials.add(trial({}));
  expect(trials.find('lora', { rank: 4 }, 0.01, 0)).toMatchObject({ heldOut: 4.5 });
  const again = await openTrials(file, length);
  expect(again.find('lora', { rank: 4 }, 0.01, 0)).toMatchObject({ heldOut: 4.5 });
  expect(again.find('base', {}, 0, 0)).toMatchObject({ heldOut: 4.8 });
  expect(again.done.length).toBe(2);
});

test('names that are left out are those of methods', () => {
  for (const name of Object.keys(leftOut)) expect(methods.has(name), name).toBe(true);
});

test('a trial takes a method at the budget from its first values, the same for the same seed', async () => {
  const [ground, executor] = [await loadGround(), await cpu()];
  const small = {
    ...ground,
    validation: { ...ground.validation, rows: ground.validation.rows.slice(0, 16) },
    heldOut: { ...ground.heldOut, rows: ground.heldOut.rows.slice(0, 16) },
  };
  const method = await sized(methods.get('lora')!, ground, length, executor);
  const { method: lora, parameters } = await method.ready();
  expect(parameters).toBe(budget);
  expect(method.options).toEqual({ rank: 4, alpha: 4, target: 'all-linear' });
  const run = (learningRate: number) => tryOut(lora, small, length, { learningRate, seed: 1, executor });
  const [still, learnt, again] = [await run(1e-9), await run(1e-2), await run(1e-2)];
  expect(learnt.heldOut).toBeLessThan(still.heldOut - 0.01);
  expect(again).toMatchObject({ heldOut: learnt.heldOut, validation: learnt.validation, planned: learnt.planned });
  expect(learnt.planned).toBeGreaterThan(2 ** 20);
  await executor.close();
}, 120_000);
