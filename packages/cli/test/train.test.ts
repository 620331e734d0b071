import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAdapter } from '@peftjs/io';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { thinned } from '../src/report/chart.ts';
import { peftjs } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'peftjs-cli-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

const pairs = [
  ['Who tells the story?', 'Ishmael tells it.'],
  ['Who hunts the whale?', 'Ahab hunts it.'],
  ['What is the ship called?', 'The Pequod.'],
] as const;
const chats = Array.from({ length: 12 }, (_, i) => {
  const [question, answer] = pairs[i % 3]!;
  return {
    messages: [
      { role: 'user', content: `${question} (${i})` },
      { role: 'assistant', content: answer },
    ],
  };
});
const data = file('chat.jsonl', lines(chats));

let runs = 0;
const flags = (): string[] => [
  '--data',
  data,
  '--steps',
  '6',
  '--batch-size',
  '2',
  '--device',
  'cpu',
  '--checkpoint-every',
  '2',
  '--out',
  join(folder, `runs${runs++}`),
];

const run = async (...args: string[]) => {
  const { code, out, err } = await peftjs(['train', ...args, '--json']);
  if (code !== 0) throw new Error(err);
  return JSON.parse(out) as {
    readonly dir: string;
    readonly adapter: string;
    readonly heldOut: readonly [number, number];
  };
};

const valuesIn = async (dir: string) =>
  new Map([...(await readAdapter(dir)).tensors].map(([name, { data: values }]) => [name, Array.from(values)]));

test('charts show long runs by means of neighbours', () => {
  const points = Array.from({ length: 2000 }, (_, i) => [i + 1, i % 2] as const);
  expect(thinned(points.slice(0, 100))).toEqual(points.slice(0, 100));
  const few = thinned(points, 500);
  expect(few).toHaveLength(500);
  expect(few[0]).toEqual([4, 0.5]);
  expect(few.at(-1)).toEqual([2000, 0.5]);
});

describe('train', () => {
  test('writes a folder: the configuration, the log, a checkpoint, the environment, the adapter and its chat template', async () => {
    const found = await run(...flags());
    expect(readdirSync(found.dir).sort()).toEqual([
      'adapter',
      'checkpoint.safetensors',
      'checkpoint.safetensors.1',
      'environment.json',
      'log.jsonl',
      'report.html',
      'result.json',
      'run.yaml',
      'samples.jsonl',
    ]);
    expect(readdirSync(found.adapter)).toEqual(
      expect.arrayContaining(['adapter_config.json', 'adapter_model.safetensors', 'chat_template.jinja']),
    );
    expect(found.heldOut[1]).toBeLessThan(found.heldOut[0] - 0.5);
    expect(parse(readFileSync(join(found.dir, 'run.yaml'), 'utf8'))).toMatchObject({
      model: '@peftjs/base-model',
      steps: 6,
      data: { train: [data] },
      method: { name: 'lora', rank: 16 },
    });
    const log = readFileSync(join(found.dir, 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(log.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('writes a page with the curves, and the answer to the first example before and after; runs lists it', async () => {
    const out = join(folder, 'reported');
    const { dir } = await run(...flags(), '--steps', '30', '--logs', 'tensorboard', '--out', out);
    expect(readdirSync(join(dir, 'tensorboard'))).toEqual([expect.stringMatching(/^events\.out\.tfevents\./)]);
    const page = readFileSync(join(dir, 'report.html'), 'utf8');
    expect(page).toContain('lora on chat.jsonl');
    expect(page).toMatch(
      /<b>after, step 30<\/b><span class="prompt">User: Who tells the story\? \(0\)\nAssistant:<\/span> Ishmael tells it\.<\/blockquote>/,
    );
    expect(page).not.toMatch(/(src|href)="?http/);
    const charts = JSON.parse(/^const charts = (.+);$/m.exec(page)![1]!) as {
      readonly unit: string;
      readonly columns: readonly (readonly number[])[];
    }[];
    expect(charts.map(({ unit }) => unit)).toEqual(['loss, nats per token', 'rate', 'norm', 'learnt tokens/s', 'MB']);
    const logged = readFileSync(join(dir, 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(charts[2]!.columns).toEqual([logged.map(({ step }) => step), logged.map(({ gradNorm }) => gradNorm)]);
    expect(charts[4]!.columns[1]!.every((mb) => mb > 50)).toBe(true);
    expect([...page.matchAll(/<b>(before|after, |)(?:step (\d+))?<\/b>/g)].map(([, , step]) => step)).toEqual([
      undefined,
      '8',
      '16',
      '24',
      '30',
    ]);
    expect(page).toContain('<dt>examples to learn from</dt><dd>11</dd>');
    // All twelve examples are in the bars.
    const bars = [...page.matchAll(/<title>(\d+) with up to/g)].map(([, examples]) => Number(examples));
    expect(bars.reduce((a, b) => a + b, 0)).toBe(12);
    const listed = await peftjs(['runs', out, '--json']);
    expect(JSON.parse(listed.out)).toMatchObject([{ method: 'lora', steps: 30, heldOut: true, rate: 0.012 }]);
    expect((await peftjs(['runs', out], { columns: 60 })).out).toMatch(/^run +loss +method/);
    expect(await peftjs(['runs', join(folder, 'nothing')])).toMatchObject({ code: 2 });
  });

  test('that was stopped says how to go on, and ends with the weights of one that was not', async () => {
    const stop = new AbortController();
    const { code, out, err } = await peftjs(
      ['train', ...flags(), '--method', 'dora', '--method.rank', '2', '--method.dropout', '0.1'],
      {
        signal: stop.signal,
        onErr: (text) => /step 3\/6/.test(text) && stop.abort(),
        columns: 80,
      },
    );
    expect([code, out]).toEqual([130, '']);
    const [, dir] = /Stopped after step [34] of 6, which are kept\. To go on:\n +npx peftjs resume ([^]+)\n$/.exec(
      err,
    )!;
    const where = dir!.replaceAll('\n', '');
    const resumed = await peftjs(['resume', where, '--json']);
    expect(resumed.code, resumed.err).toBe(0);
    const whole = await run(...flags(), '--method', 'dora', '--method.rank', '2', '--method.dropout', '0.1');
    expect(await valuesIn(JSON.parse(resumed.out).adapter)).toEqual(await valuesIn(whole.adapter));
    expect(await peftjs(['resume', where])).toMatchObject({ code: 2, err: expect.stringContaining('is at its end') });
  });

  test('reads a YAML file, which flags override, and other optimisers, methods and packed bases', async () => {
    const yaml = file(
      'run.yaml',
      `data:\n  train: ${data}\n  heldOut: 0\nmethod: ia3\noptimizer: lion\nschedule: linear\nsteps: 2\nquantize: int8\ndevice: cpu\n`,
    );
    const found = await run(yaml, '--out', join(folder, 'yaml'), '--accumulate', '2', '--batch-size', '1');
    expect(found).toMatchObject({ method: 'ia3', steps: 2, heldOut: null });
    const dry = await peftjs(['train', yaml, '--dry-run']);
    expect([dry.code, dry.out], dry.err).toEqual([0, expect.stringContaining('of 3,606,784 values')]);
  });

  test('multiplies by its base in int8, of floats or packed, near to what it was', async () => {
    const heldOut = async (...more: string[]) => (await run(...flags(), '--steps', '1', ...more)).heldOut[0];
    const [plain, whole, packed] = [
      await heldOut(),
      await heldOut('--compute', 'int8'),
      await heldOut('--compute', 'int8', '--quantize', 'nf4'),
    ];
    const off = [whole, packed].map((loss) => Math.abs(loss - plain));
    for (const [i, most] of [0.03, 0.1].entries()) {
      expect(off[i]).toBeGreaterThan(0);
      expect(off[i]).toBeLessThan(most);
    }
  });

  test('reads questions and answers as messages, or as they are', async () => {
    const path = file('pairs.jsonl', lines(pairs.map(([question, answer]) => ({ question, answer }))));
    const shown = async (...more: string[]) =>
      (await peftjs(['train', '--data', path, '--dry-run', '--device', 'cpu', ...more])).out;
    expect(await shown()).toContain('User: Who tells the story?\nAssistant:⟦ Ishmael tells it.<|endoftext|>⟧');
    expect(await shown('--data.as', 'text')).toContain('\nWho tells the story?⟦Ishmael tells it.<|endoftext|>⟧');
    expect(await shown('--data.learn', 'all')).toContain('⟦ser: Who tells the story?\nAssistant: Ishmael');
  });

  test('holds out some of few examples, and none where all are the same', async () => {
    const heldOut = async (name: string, rows: readonly unknown[]) => {
      const { out, err } = await peftjs([
        'train',
        '--data',
        file(name, lines(rows)),
        '--dry-run',
        '--device',
        'cpu',
        '--json',
      ]);
      expect(err).not.toContain('fault');
      const { examples, heldOut: held } = JSON.parse(out);
      return [examples, held];
    };
    const pair = (i: number) => ({ prompt: `Number ${i}?`, completion: 'Yes.' });
    const unlike = Array.from({ length: 12 }, (_, i) => pair(i));
    const [learnt, held] = await heldOut('unlike.jsonl', unlike);
    expect([learnt! + held!, held! > 0 && held! < 4]).toEqual([12, true]);
    expect(
      await heldOut(
        'same.jsonl',
        Array.from({ length: 12 }, () => pair(3)),
      ),
    ).toEqual([12, 0]);
    const found = await run(
      '--data',
      join(folder, 'same.jsonl'),
      '--steps',
      '2',
      '--batch-size',
      '1',
      '--device',
      'cpu',
      '--out',
      join(folder, 'same'),
    );
    expect(found.heldOut).toBe(null);
  });

  test('tells of a run before its first step, and leaves nothing', async () => {
    const out = join(folder, 'dry');
    const { code, out: text } = await peftjs(['train', ...flags(), '--out', out, '--dry-run']);
    expect(code).toBe(0);
    expect(text).toContain('lora trains 344,064 of 3,606,784 values, 9.54 %');
    expect(text).toMatch(/planned peak of a step with the longest examples, 32 tokens: \d+\.\d MB/);
    expect(text).toContain('User: Who tells the story? (0)\nAssistant:⟦ Ishmael tells it.<|endoftext|>⟧');
    expect(readdirSync(folder)).not.toContain('dry');
  });

  test('leaves nothing where its options are refused', async () => {
    const out = join(folder, 'refused');
    const { code, err } = await peftjs(['train', ...flags(), '--out', out, '--method.target', 'nothing']);
    expect([code, err]).toEqual([1, expect.stringContaining('nothing')]);
    expect(readdirSync(folder)).not.toContain('refused');
  });
});

/** Examples with a label each, of which there are twelve. */
const classes = (...labels: readonly (string | number | null)[]) =>
  Array.from({ length: 12 }, (_, i) => ({ text: `text ${i}`, label: labels[i % labels.length] }));

const cosine = ['--task', 'featureExtraction', '--task.loss', 'cosineSimilarity'];

/** Data that can't be learnt from: its name, its text, and flags. */
const spoilt: readonly (readonly [name: string, text: string, ...flags: string[]])[] = [
  ['empty.jsonl', ''],
  ['not-json.jsonl', 'Call me Ishmael.\n'],
  ['cut-off.jsonl', `${JSON.stringify(chats[0])}\n{"messages": [{"role"`],
  ['fields.jsonl', lines([{ review: 'a', stars: 3 }])],
  ['labels.jsonl', lines([{ text: 'a', label: 'good' }])],
  ['number.jsonl', '3\n'],
  ['no-role.jsonl', lines([{ messages: [{ content: 'a' }] }])],
  ['user-alone.jsonl', lines([{ messages: [{ role: 'user', content: 'a' }] }])],
  ['prompt-alone.jsonl', lines([{ prompt: 'a', completion: 3 }])],
  ['late.jsonl', lines([...chats.slice(0, 3), { messages: [] }])],
  ['long.jsonl', lines([chats[0]]), '--data.too-long', 'error', '--data.context', '8'],
  ['skipped.jsonl', lines([chats[0]]), '--data.too-long', 'skip', '--data.context', '8'],
  ['all-held-out.jsonl', lines(chats), '--data.held-out', '1'],
  ['context.jsonl', lines(chats), '--data.context', '100000'],
  ['kind.bin', 'x'],
  ['picture.jsonl', lines([{ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }])],
  ['says-nothing.jsonl', lines([{ messages: [{ role: 'assistant', content: null }] }])],
  ['list.jsonl', `${JSON.stringify(chats)}\n`],
  ['same.jsonl', lines(chats), '--data.held-out', '$DIR/same.jsonl'],
  ['nothing-to-measure.jsonl', lines(chats), '--data.held-out', '$DIR/user-alone.jsonl'],
  ['no-decoder.jsonl', lines([{ source: 'a', target: 'b' }]), '--task', 'seq2seqLM'],
  ['alike.jsonl', lines(classes('Good', 'good ', 'bad')), '--task', 'sequenceClassifier'],
  ['one-class.jsonl', lines(classes('good')), '--task', 'sequenceClassifier'],
  ['shares.jsonl', lines(classes(0.5, 1)), '--task', 'sequenceClassifier'],
  ['no-label.jsonl', lines(classes('good', 'bad', null)), '--task', 'sequenceClassifier'],
  [
    'no-text.jsonl',
    lines([
      { text: '', label: 'a' },
      { text: '', label: 'b' },
    ]),
    '--task',
    'sequenceClassifier',
  ],
  ['fewer-tags.jsonl', lines([{ tokens: ['a', 'b', 'c'], tags: ['x', 'y'] }]), '--task', 'tokenClassifier'],
  ['as-good.jsonl', lines([{ prompt: 'a', chosen: 'b', rejected: 'b' }]), '--objective', 'dpo'],
  ['no-rejected.jsonl', lines([{ prompt: 'a', chosen: 'b' }]), '--objective', 'dpo'],
  ['too-like.jsonl', lines([{ sentence1: 'a', sentence2: 'b', label: 5 }]), ...cosine],
  ['open.csv', 'prompt,completion\n"a","b"\n"c\n'],
  ['short.csv', 'text,label\na,x\nb\n', '--task', 'sequenceClassifier'],
  ['semicolons.csv', 'text;label\na;x\n', '--task', 'sequenceClassifier'],
  ['no-gzip.jsonl.gz', 'x'],
];

/** Calls that are wrong, whatever the data. */
const wrong: readonly (readonly string[])[] = [
  ['train', '$DIR/same.jsonl'],
  ['train', '$DIR/none.yaml'],
  ['train', 'a.yaml', 'b.yaml'],
  ['train', '--data', '$DIR/same.jsonl', '--out', '$DIR/same.jsonl', '--device', 'cpu', '--steps', '1'],
  ['train', '--data', '$DIR/same.jsonl', '--threads', '100000', '--device', 'cpu'],
  ['train', '--data', '$DIR/same.jsonl', '--model', '@peftjs/base-modle', '--device', 'cpu'],
  ['train', '--data', '$DIR/same.jsonl', '--data.context', '1', '--device', 'cpu'],
  ['train', '--data', '$DIR/same.jsonl', '--objective', 'distillation', '--objective.teacher', '$DIR/none'],
  ['serve', '$DIR/none', '--port', '99999'],
  ['serve', '$DIR/none', '--port', 'abc'],
  ['serve', '$DIR/none', '--rows', '0'],
  ['serve', '$DIR/none', '--max-tokens', '0'],
  ['serve', '$DIR/none', '--host', '0.0.0.0'],
  ['chat', '$DIR/same.jsonl'],
  ['merge', '$DIR/none', '$DIR/none'],
  ['convert', '$DIR/none', '$DIR/none'],
  ['convert', 'config', '$DIR/none.yaml'],
  ['export', '$DIR/none', '$DIR/out', '--to', 'ggguf'],
  ['generate', '$DIR/none', '--prompt', 'a', '--system', 'b'],
  ['generate', '$DIR/none', '--prompt', 'a', '--message', 'b'],
  ['combine', '$DIR/none', '--out', '$DIR/out'],
  ['evaluate', '$DIR/none'],
  ['search', '--data', '$DIR/same.jsonl', '--methods', 'lora,lra'],
  ['search', '--data', '$DIR/same.jsonl', '--factor', '1'],
  ['inspect', '$DIR/empty.jsonl.gz'],
  ['methods', 'lroa'],
];

/** An error's first line, without what differs from machine to machine. */
const told = (err: string): string =>
  err
    .replaceAll(`${folder}/`, '')
    .replace(/^Model:.*\n/, '')
    .replace(/^Data:.*\n/, '')
    .replace(/(is not JSON: ).*/, '$1…')
    .replace(/this machine has \d+ cores; give at most \d+/, 'this machine has … cores; give at most …')
    .replace(/\n[^]*/, '\n');

const inFolder = (args: readonly string[]): string[] => args.map((one) => one.replace('$DIR', folder));

test('what is wrong with data is told with its place', async () => {
  const all: string[] = [];
  for (const [name, text, ...given] of spoilt) {
    const path = file(name, text);
    const { code, err } = await peftjs(['train', '--data', path, '--device', 'cpu', ...inFolder(given)]);
    expect([name, code]).toEqual([name, 2]);
    // Each version of Node has other words for what is no JSON; what all formats need is told after the first line.
    all.push(`${[name, ...given].join(' ')}\n${told(err)}`);
  }
  const { err } = await peftjs(['train', '--data', join(folder, 'none.jsonl'), '--device', 'cpu']);
  all.push(`none.jsonl\n${told(err)}`);
  await expect(all.join('\n')).toMatchFileSnapshot('golden/spoilt-data.txt');
});

test('what is wrong with a call is told before anything is begun', async () => {
  file('same.jsonl', lines(chats));
  const all: string[] = [];
  for (const args of wrong) {
    const { code, err } = await peftjs(inFolder(args));
    expect([args.join(' '), code]).toEqual([args.join(' '), 2]);
    all.push(`${args.join(' ')}\n${told(err)}`);
  }
  await expect(all.join('\n')).toMatchFileSnapshot('golden/spoilt-calls.txt');
});
