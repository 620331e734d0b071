import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { runJsonSchema } from '../src/config/json-schema.ts';
import { parseOverrides } from '../src/config/overrides.ts';
import { parseRunConfig } from '../src/config/read.ts';
import { nearest } from '../src/nearest.ts';
import { logsOf } from '../src/train/logs.ts';

const parse = (text: string | null, args: readonly string[] = []) =>
  parseRunConfig(text, 'run.yaml', parseOverrides(args).overrides);

/** Configurations that are wrong: a text, and flags. */
const spoilt: readonly (readonly [text: string | null, ...flags: string[]])[] = [
  [null],
  [''],
  ['- chat.jsonl'],
  ['chat.jsonl'],
  ['data: [a.jsonl\nsteps: 3'],
  ['data: a.jsonl\ndata: b.jsonl'],
  ['data: a.jsonl\n\tsteps: 3'],
  ['data: a.jsonl\nbachSize: 3'],
  ['data: a.jsonl\nlearning_rate: 3'],
  ['data:\n  train: a.jsonl\n  contxt: 128'],
  ['data: {}'],
  ['data: 3'],
  ['data:\n  train: []'],
  ['data:\n  train: a.jsonl\n  heldOut: 2'],
  ['data:\n  train: a.jsonl\n  heldOut: true'],
  ['data:\n  train: a.jsonl\n  tooLong: drop'],
  ['data:\n  train: a.jsonl\n  learn: asistant'],
  ['data: a.jsonl\nsteps: 1.5'],
  ['data: a.jsonl\nsteps: 0'],
  ['data: a.jsonl\nsteps: many'],
  ['data: a.jsonl\nsteps: 3\nepochs: 2'],
  ['data: a.jsonl\nmethod: lra'],
  ['data: a.jsonl\nmethod: LoRA'],
  ['data: a.jsonl\nmethod:\n  name: lora\n  rnk: 8'],
  ['data: a.jsonl\nmethod:\n  name: lora\n  rank: 0'],
  ['data: a.jsonl\nmethod: 3'],
  ['data: a.jsonl\noptimizer: adam'],
  ['data: a.jsonl\noptimizer:\n  rate: -1'],
  ['data: a.jsonl\noptimizer:\n  name: sgd\n  beta1: 0.9'],
  ['data: a.jsonl\nschedule: cosin'],
  ['data: a.jsonl\nschedule:\n  warmup: 100'],
  ['data: a.jsonl\nquantize: nf5'],
  ['data: a.jsonl\ndevice: gpu'],
  ['data: a.jsonl\nrecompute: yes please'],
  ['data: a.jsonl\nmethod:\n  rnk: 8\noptimizer:\n  rat: 1\nbatchSize: -1'],
  ['data: a.jsonl\ntask: classifier'],
  ['data: a.jsonl\ntask:\n  name: sequenceClassifier\n  labls: [a, b]'],
  ['data: a.jsonl\nobjective: dop'],
  ['data: a.jsonl\nobjective:\n  name: dpo\n  beta: 0'],
  ['data: a.jsonl', '--optimizer.rat', '1e-4'],
  ['data: a.jsonl\nsteps: 3', '--steps', 'few'],
  [null, '--data', 'a.jsonl', '--method', 'dorra'],
  [null, '--data', 'a.jsonl', '--batch-siz', '3'],
];

const messageOf = (text: string | null, flags: readonly string[]): string => {
  try {
    parse(text, flags);
  } catch (error) {
    expect(error).toMatchObject({ code: 'bad-config' });
    return (error as Error).message;
  }
  throw new Error(`no fault was found in ${text}`);
};

test('what is wrong with a configuration is told with its place, and what was meant', async () => {
  const told = spoilt.map(([text, ...flags]) => {
    const written = [...(text === null ? [] : text.split('\n')), ...(flags.length > 0 ? [flags.join(' ')] : [])];
    return `${written.map((line) => `| ${line}`).join('\n')}\n${messageOf(text, flags)}\n`;
  });
  await expect(told.join('\n')).toMatchFileSnapshot('golden/spoilt-configs.txt');
});

describe('a configuration', () => {
  test('of a data file alone has a default for all else', () => {
    expect(parse('data: chat.jsonl')).toMatchObject({
      data: { train: ['chat.jsonl'], heldOut: 0.05, learn: 'assistant', tooLong: 'cut' },
      method: { name: 'lora' },
      optimizer: { name: 'adamw', clip: 1 },
      schedule: { name: 'cosine', warmup: 0.06 },
      batchSize: 8,
      logs: [],
      seed: 0,
      out: 'runs',
    });
    expect(parse('data: chat.jsonl\nlogs: wandb')).toMatchObject({ logs: ['wandb'] });
  });

  test('is overridden by flags, which keep what they do not name', () => {
    const text = 'data:\n  train: a.jsonl\n  context: 64\nmethod:\n  name: lora\n  rank: 4\noptimizer: lion\n';
    const flags = [
      '--data',
      'b.jsonl',
      '--data',
      'c.jsonl',
      '--method.rank=8',
      '--optimizer.rate',
      '1e-4',
      '--batch-size',
      '2',
      '--recompute',
    ];
    expect(parse(text, flags)).toMatchObject({
      data: { train: ['b.jsonl', 'c.jsonl'], context: 64 },
      method: { name: 'lora', rank: 8 },
      optimizer: { name: 'lion', rate: 1e-4 },
      batchSize: 2,
      recompute: true,
    });
  });

  test('takes a number of blocks to recompute', () => {
    expect(parse('data: a.jsonl\nrecompute: 3', []).recompute).toBe(3);
    expect(parse('data: a.jsonl', ['--recompute', '3']).recompute).toBe(3);
    expect(parse('data: a.jsonl', ['--recompute', 'false']).recompute).toBe(false);
  });

  test('takes a flag of a method that comes several times as a list', () => {
    const flags = ['--data', 'a.jsonl', '--method.target', 'q_proj', '--method.target', 'v_proj'];
    expect(parse(null, flags).method).toEqual({ name: 'lora', target: ['q_proj', 'v_proj'] });
    expect(() => parse(null, [...flags, '--method.rank', '4', '--method.rank', '8'])).toThrow('method.rank is [4,8]');
  });

  test('of a file that says epochs takes the steps of a flag instead, and the other way round', () => {
    expect(parse('data: a.jsonl\nepochs: 3', ['--steps', '9'])).toMatchObject({ steps: 9 });
    expect(parse('data: a.jsonl\nepochs: 3', ['--steps', '9'])).not.toHaveProperty('epochs');
    expect(parse('data: a.jsonl\nsteps: 3', ['--epochs', '2'])).not.toHaveProperty('steps');
    expect(() => parse('data: a.jsonl', ['--epochs', '2', '--steps', '9'])).toThrow('leave one of them out');
  });

  test('may leave out the name of the method, the optimiser and the schedule', () => {
    expect(parse('data: a.jsonl\nmethod:\n  rank: 2\noptimizer:\n  weightDecay: 0.1\nschedule: linear')).toMatchObject({
      method: { name: 'lora', rank: 2 },
      optimizer: { name: 'adamw', weightDecay: 0.1 },
      schedule: { name: 'linear' },
    });
  });
});

test('the published JSON Schema is that of the code; `pnpm --filter @peftjs/cli schema` writes it', async () => {
  const file = await readFile(new URL('../run.schema.json', import.meta.url), 'utf8');
  expect(JSON.parse(file)).toEqual(JSON.parse(JSON.stringify(runJsonSchema())));
});

test('the nearest word is one that is near', () => {
  expect(nearest('rnk', ['rank', 'alpha'])).toBe('rank');
  expect(nearest('LORA', ['rank', 'lora'])).toBe('lora');
  expect(nearest('learning_rate', ['rank', 'alpha'])).toBe(null);
});

test('a log without a key or a server is refused before the first step', async () => {
  const { WANDB_API_KEY: _, MLFLOW_TRACKING_URI: __, ...env } = process.env;
  const kept = process.env;
  process.env = env;
  try {
    await expect(logsOf(parse('data: a.jsonl\nlogs: wandb'), 'runs/a')).rejects.toThrow('WANDB_API_KEY is not set');
    await expect(logsOf(parse('data: a.jsonl\nlogs: [mlflow]'), 'runs/a')).rejects.toThrow(
      'MLFLOW_TRACKING_URI is not',
    );
  } finally {
    process.env = kept;
  }
});
