import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { baseModelDir } from '@peftjs/base-model';
import { attach } from '@peftjs/core';
import {
  type AutoPeftPoint,
  autoPeft,
  autoPeftSpace,
  bayesian,
  evolving,
  randomly,
  type SearchResult,
  type Strategy,
  search,
  type Trial,
} from '@peftjs/hybrid';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { loadModel } from '@peftjs/transformer';
import { Command } from 'commander';
import { mean } from './groups.ts';
import { parametersOf } from './methods.ts';
import {
  type Losses,
  type Structure,
  type StructureSettings,
  structuresFigure,
  structuresPage,
} from './structures-page.ts';
import { makeSuite, withheld } from './suite/tasks.ts';
import { makeTraining, type Training } from './training.ts';

const { out, report } = new Command()
  .name('structures')
  .description('Searches a structure by two strategies, beside random structures. Goes on where an earlier run ended.')
  .option(
    '--out <folder>',
    'folder of the record and the page',
    fileURLToPath(new URL('../../../docs', import.meta.url)),
  )
  .option('--report', 'only write the page of what is there')
  .parse()
  .opts<{ out: string; report?: true }>();

/** A function whose results are kept, by its arguments. */
const memo = <A extends readonly (string | number)[]>(of: (...args: A) => number): ((...args: A) => number) => {
  const kept = new Map<string, number>();
  return (...args) => {
    const key = args.join(' ');
    if (!kept.has(key)) kept.set(key, of(...args));
    return kept.get(key)!;
  };
};

const settings: StructureSettings = {
  steps: 48,
  batchSize: 8,
  tests: 32,
  rate: 5e-3,
  budget: 16,
  initial: 8,
  most: 50_000,
  random: 10,
};
const { steps, batchSize, tests, rate, budget, initial, most, random } = settings;

/** The settings that a loss depends on; an entry of the record that differs in one of them is of another experiment. */
const by = { steps, batchSize, tests, rate };

const path = join(out, 'structures.jsonl');
const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n').filter(Boolean);
const known = new Map(
  lines.flatMap((line) => {
    const { key, withheld, test, ...of } = JSON.parse(line) as { key: string } & Losses;
    return JSON.stringify(of) === JSON.stringify(by) ? [[key, { withheld, test }] as const] : [];
  }),
);

const executor = await cpu();
const [model, tokenizer] = [await loadModel(baseModelDir()), await loadTokenizer(baseModelDir())];
const whole = makeSuite({ train: 320, test: tests });
const bench = { model, tokenizer, executor, settings: { steps, fewSteps: 1, batchSize, tests } };

/** The losses of a structure that is trained on all tasks, but for the withheld examples. */
const lossesOf = async (point: AutoPeftPoint, seed: number): Promise<Losses> => {
  const key = `${seed} ${JSON.stringify(point)}`;
  const before = known.get(key);
  if (before) return before;
  if (report) throw new Error(`structures: ${key} was not tried; run the command without --report`);
  const [own, others] = [withheld(whole, tests), whole].map((suite) => makeTraining({ ...bench, suite }, seed));
  const how = { rate, tasked: false };
  const adapted = await own!.trained(attach(model, [autoPeft(point)], { seed }), own!.every, steps, how);
  const meanOn = async ({ scores, every }: Training): Promise<number> =>
    mean(Object.values(await scores(adapted, every, how)).map(({ loss }) => loss));
  const losses = { withheld: await meanOn(own!), test: await meanOn(others!) };
  await appendFile(path, `${JSON.stringify({ ...by, key, ...losses })}\n`);
  known.set(key, losses);
  process.stderr.write(`${key}: ${losses.withheld.toFixed(4)}\n`);
  return losses;
};

const nothing = { serial: 0, parallel: 0, prefix: 0 };

/** Values of one part of a size in one layer, of which all are alike. */
const unit = memo((part: 'serial' | 'parallel' | 'prefix', size: number): number =>
  size > 0 ? parametersOf(model, autoPeft({ ...nothing, ...{ [part]: size }, layer0: true })) : 0,
);

const parameters = ({ serial, parallel, prefix, ...layers }: AutoPeftPoint): number =>
  Object.values(layers).filter(Boolean).length *
  (unit('serial', serial) + unit('parallel', parallel) + unit('prefix', prefix));

const space = autoPeftSpace(model);
const found = (strategy: Strategy): Promise<SearchResult<typeof space>> =>
  search({
    space,
    parameters,
    most,
    budget,
    strategy,
    objective: async (point) => (await lossesOf(point, 0)).withheld,
  });

/** Random structures of the budget: of no less than half of the most values. */
const drawn: Trial[] = [];
await search({
  space,
  parameters: (point) => (parameters(point) >= most / 2 ? parameters(point) : 0),
  most,
  budget: random,
  strategy: randomly(),
  seed: 1,
  objective: () => 0,
  onTrial: (trial) => {
    drawn.push(trial as Trial);
  },
});

const measured = async (
  name: string,
  { point, parameters: values }: Trial,
  seeds: readonly number[],
): Promise<Structure> => {
  const losses: Losses[] = [];
  for (const seed of seeds) losses.push(await lossesOf(point as object as AutoPeftPoint, seed));
  return { name, point, parameters: values, losses };
};

const searches = {
  bayesian: await found(bayesian({ initial })),
  evolving: await found(evolving({ population: initial, parents: 4 })),
};
const structures: Structure[] = [];
for (const [name, { best }] of Object.entries(searches))
  structures.push(await measured(name, best as Trial, [0, 1, 2]));
for (const [i, trial] of drawn.entries()) structures.push(await measured(`random ${i + 1}`, trial, [0]));

await writeFile(join(out, 'structures.md'), structuresPage(searches, structures, settings));
await writeFile(join(out, 'structures.svg'), structuresFigure(searches, structures));
await executor.close();
