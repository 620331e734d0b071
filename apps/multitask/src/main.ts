import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { baseModelDir } from '@peftjs/base-model';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { loadModel } from '@peftjs/transformer';
import { Command, InvalidArgumentError } from 'commander';
import { figureOf } from './figure.ts';
import { openRecord } from './record.ts';
import { pageOf } from './report.ts';
import { measureSpeeds, type Speed } from './speed.ts';
import { makeSuite, withheld } from './suite/tasks.ts';
import type { Bench } from './training.ts';
import { makeTrials, trialNames, trialRuns } from './trial.ts';

const count = (text: string): number => {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError('must be a whole number of at least 1');
};

const whole = (text: string): number => (text === '0' ? 0 : count(text));

const factors = (text: string): readonly number[] => {
  const values = text.split(',').map(Number);
  if (values.every((value) => value > 0 && Number.isFinite(value))) return values;
  throw new InvalidArgumentError('must be numbers above 0 with commas between them');
};

const options = new Command()
  .name('multitask')
  .description('Multi-task methods beside LoRA for each task, at equal parameters. Goes on where an earlier run ended.')
  .option('--steps <n>', 'steps on all tasks together', count, 72)
  .option('--few-steps <n>', 'steps on the left-out task', count, 16)
  .option('--batch-size <n>', 'examples of a step', count, 8)
  .option('--tests <n>', 'test examples of a task', count, 32)
  .option('--seeds <n>', 'runs of each method', count, 3)
  .option('--seed <n>', 'only the run of this seed, for several processes side by side', whole)
  .option(
    '--out <folder>',
    'folder of the record and the page',
    fileURLToPath(new URL('../../../docs', import.meta.url)),
  )
  .option('--rates <factors>', 'tries learning rates on examples withheld from training, these times the own', factors)
  .option('--report', 'only write the page of what is there')
  .option('--speed', 'measure the time of a step beside LoRA, on an idle machine, instead')
  .parse()
  .opts<{
    steps: number;
    fewSteps: number;
    batchSize: number;
    tests: number;
    seeds: number;
    seed?: number;
    out: string;
    rates?: readonly number[];
    report?: true;
    speed?: true;
  }>();

const { steps, fewSteps, batchSize, out } = options;
const tests = Math.ceil(options.tests / batchSize) * batchSize; // whole batches
const settings = { steps, fewSteps, batchSize, tests };
const record = await openRecord(join(out, 'multitask.jsonl'), settings);
const tuning = await openRecord(join(out, 'multitask-rates.jsonl'), options.rates && settings);
const suite = makeSuite({ train: 320, test: tests });

const executor = await cpu();
const [model, tokenizer] = [await loadModel(baseModelDir()), await loadTokenizer(baseModelDir())];
const bench: Bench = { model, tokenizer, executor, suite, settings };

const tryRates = async (all: readonly number[]): Promise<void> => {
  const seed = 1000; // not one of those of the comparison
  for (const factor of all) {
    const run = makeTrials({ ...bench, suite: withheld(suite, tests) }, seed, factor);
    for (const { name, rate } of trialRuns(bench))
      if (!tuning.trials.some((trial) => trial.method === name && Math.abs(trial.rate / (rate * factor) - 1) < 1e-6))
        await tuning.add(await run(name));
  }
};

const compare = async (): Promise<void> => {
  const all = Array.from({ length: options.seeds }, (_, i) => i);
  for (const seed of options.seed === undefined ? all : [options.seed]) {
    const run = makeTrials(bench, seed);
    for (const { name } of trialRuns(bench))
      if (!record.trials.some((trial) => trial.method === name && trial.seed === seed))
        await record.add(await run(name));
  }
};

const speedsFile = join(out, 'multitask-speeds.json');
const measure = async (): Promise<void> => {
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  await writeFile(speedsFile, `${JSON.stringify(await measureSpeeds(bench, { rounds: 7, say }), null, 2)}\n`);
};
const speeds = async (): Promise<readonly Speed[]> =>
  existsSync(speedsFile) ? (JSON.parse(await readFile(speedsFile, 'utf8')) as Speed[]) : [];

if (options.speed) await measure();
else if (!options.report) await (options.rates ? tryRates(options.rates) : compare());

if (record.trials.length > 0) {
  const names = suite.tasks.map(({ name }) => name);
  await writeFile(
    join(out, 'multitask.md'),
    pageOf(record.trials, tuning.trials, await speeds(), suite, trialNames(bench)),
  );
  await writeFile(join(out, 'multitask.svg'), figureOf(record.trials, names, suite.leftOut.name));
}
await executor.close();
