import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { baseModelDir } from '@peftjs/base-model';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { loadModel } from '@peftjs/transformer';
import { Command, InvalidArgumentError } from 'commander';
import { figureOf, pageOf } from './report.ts';
import { makeSuite } from './suite/tasks.ts';
import { makeTrials, type Trial, trialNames } from './trial.ts';

const count = (text: string): number => {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError('must be a whole number of at least 1');
};

const options = new Command()
  .name('multitask')
  .description('Multi-task methods beside LoRA for each task, at equal parameters. Goes on where an earlier run ended.')
  .option('--steps <n>', 'steps on all tasks together', count, 360)
  .option('--few-steps <n>', 'steps on the left-out task', count, 40)
  .option('--batch-size <n>', 'examples of a step', count, 8)
  .option('--tests <n>', 'test examples of a task', count, 64)
  .option('--seeds <n>', 'runs of each method', count, 3)
  .option(
    '--out <folder>',
    'folder of the record and the page',
    fileURLToPath(new URL('../../../docs', import.meta.url)),
  )
  .option('--report', 'only write the page of what is there')
  .parse()
  .opts<{
    steps: number;
    fewSteps: number;
    batchSize: number;
    tests: number;
    seeds: number;
    out: string;
    report?: true;
  }>();

const { steps, fewSteps, batchSize, out } = options;
const tests = Math.ceil(options.tests / batchSize) * batchSize; // whole batches
const settings = { steps, fewSteps, batchSize, tests };
const record = join(out, 'multitask.jsonl');
const lines = (await readFile(record, 'utf8').catch(() => '')).split('\n').filter(Boolean);
const all = lines.map((line) => JSON.parse(line) as Trial);
const isOurs = (trial: Trial): boolean =>
  Object.entries(settings).every(([name, value]) => trial[name as keyof typeof settings] === value);
const trials = all.filter(isOurs);

const [model, tokenizer, executor] = [
  await loadModel(baseModelDir()),
  await loadTokenizer(baseModelDir()),
  await cpu(),
];
const suite = makeSuite({ train: 320, test: tests });
const bench = { model, tokenizer, executor, suite, settings };

for (let seed = 0; seed < (options.report ? 0 : options.seeds); seed++) {
  const run = makeTrials(bench, seed);
  for (const name of trialNames(bench)) {
    if (trials.some((trial) => trial.method === name && trial.seed === seed)) continue;
    const made = await run(name);
    // At once, or a kill between two would leave one out for good.
    await appendFile(record, made.map((trial) => `${JSON.stringify(trial)}\n`).join(''));
    trials.push(...made);
    for (const trial of made) process.stderr.write(`seed ${seed}, ${trial.method}: ${trial.seconds} s\n`);
  }
}

if (trials.length > 0) {
  const names = suite.tasks.map(({ name }) => name);
  await writeFile(join(out, 'multitask.md'), pageOf(trials, suite));
  await writeFile(join(out, 'multitask.svg'), figureOf(trials, names, suite.leftOut.name));
}
await executor.close();
