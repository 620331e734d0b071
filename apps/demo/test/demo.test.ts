import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from '@peftjs/core';
import { readAdapter } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { loadModel } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Run, runDemoCli } from './cli.ts';
import { makeTiny } from './tiny-model.ts';

let work: string;
let tiny: string;
let text: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'peftjs-demo-test-'));
  ({ tiny, text } = await makeTiny(work));
});
afterAll(() => rm(work, { recursive: true }));

const outFolder = (name: string): string => join(work, 'out', name);
const exists = (path: string): Promise<boolean> =>
  readdir(path).then(
    () => true,
    () => false,
  );

describe('the demo', () => {
  test('fine-tunes, saves, reports, and says so in JSON', async () => {
    const out = outFolder('whole');
    const { code, stdout, stderr } = await runDemoCli([
      '--model',
      tiny,
      '--data',
      text,
      '--steps',
      '4',
      '--rank',
      '2',
      '--device',
      'cpu',
      '--full',
      '--json',
      '--out',
      out,
    ]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const result = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
    expect(result).toEqual({
      method: 'lora',
      device: 'cpu',
      baseLoss: expect.any(Number),
      tunedLoss: expect.any(Number),
      fullLoss: expect.any(Number),
      trainable: 2 * (16 + 16 + (16 + 8) * 2 + 32 + (16 + 24) * 3 + 16 + 4096),
      total: 4096 * 16 + 16 * 16 * 2 + 8 * 16 * 2 + 24 * 16 * 3 + 16 * 3,
      tokensPerSecond: expect.any(Number),
      baseBytes: 4 * (16 * 16 * 2 + 8 * 16 * 2 + 24 * 16 * 3),
      baseHalfBytes: 2 * (16 * 16 * 2 + 8 * 16 * 2 + 24 * 16 * 3),
      peakBytes: expect.any(Number),
      seconds: expect.any(Number),
      adapterBytes: expect.any(Number),
      adapterDir: expect.stringContaining(out),
      losses: expect.stringContaining(out),
      report: expect.stringContaining(out),
    });
    expect(result.tunedLoss).toBeLessThan(result.baseLoss);
    expect(result.fullLoss).toBeLessThan(result.baseLoss);
    const again = await load(await loadModel(tiny), result.adapterDir, [lora]);
    expect(again.params.size).toBe(16);
    const html = await readFile(result.report, 'utf8');
    expect(html).toContain(result.tunedLoss.toFixed(3));
    expect(html).not.toMatch(/(?:src|href)=["']?https?:/);
    expect(stderr).toMatch(/LoRA of rank 2 {2}step 4\/4 {2}loss \d/);
  });

  test('packs the base model first, and takes layers, rows and positions as told', async () => {
    const out = outFolder('packed');
    const args = [
      '--quantize',
      'int8',
      '--model',
      tiny,
      '--data',
      text,
      '--steps',
      '3',
      '--rank',
      '2',
      '--target',
      'q_proj,v_proj',
      '--batch',
      '2',
      '--context',
      '12',
      '--device',
      'cpu',
    ];
    const { code, stdout, stderr } = await runDemoCli([...args, '--json', '--out', out]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const result = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
    expect(result.trainable).toBe(2 * (16 + 16 + 16 + 8));
    expect(await readFile(result.report, 'utf8')).toContain('3 steps of 2 × 12 tokens');
    // A byte a value and a scale for each output.
    expect(result.baseBytes).toBe(result.baseHalfBytes / 2 + 4 * (16 * 2 + 8 * 2 + 24 * 2 + 16));
    expect(result.tunedLoss).toBeLessThan(result.baseLoss);
  });

  test('tries methods one after the other, each with its own defaults, and ranks them', async () => {
    const out = outFolder('compared');
    const args = ['--compare', 'promptTuning,lora', '--model', tiny, '--data', text, '--steps', '3', '--device', 'cpu'];
    const { code, stdout, stderr } = await runDemoCli([...args, '--json', '--out', out]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const lines = stdout.trimEnd().split('\n');
    const result = JSON.parse(lines.at(-1)!);
    const losses: number[] = result.runs.map((run: { tunedLoss: number }) => run.tunedLoss);
    expect(result.runs.map((run: { method: string }) => run.method).toSorted()).toEqual(['lora', 'promptTuning']);
    expect(losses).toEqual(losses.toSorted((a, b) => a - b));
    for (const run of result.runs) {
      expect(run.baseLoss).toBe(result.baseLoss);
      expect(lines.find((line) => line.startsWith(run.method))).toContain(run.tunedLoss.toFixed(4));
      await expect(readAdapter(run.adapterDir)).resolves.toBeDefined();
    }
    const html = await readFile(result.report, 'utf8');
    expect(html).toContain(`<td>${losses[0]!.toFixed(4)}</td>`);
    expect(html).not.toMatch(/(?:src|href)=["']?https?:/);
  });

  test('killed at any moment it leaves nothing that looks whole', async () => {
    for (const moment of [/Base model/, /step 1\/3/, /step 3\/3/]) {
      const out = outFolder(`killed-${moment.source.replace(/\W/g, '')}`);
      await runDemoCli(
        ['--model', tiny, '--data', text, '--steps', '3', '--device', 'cpu', '--out', out],
        (seen, kill) => moment.test(seen) && kill(),
      );
      for (const run of await readdir(out).catch(() => [])) {
        // The state to go on from; another test goes on.
        if (run.startsWith('unfinished-')) continue;
        const files = await readdir(join(out, run), { recursive: true });
        if (files.includes('report.html'))
          expect(await readFile(join(out, run, 'report.html'), 'utf8')).toMatch(/<\/html>\s*$/);
        if (files.includes(join('adapter', 'adapter_config.json')))
          await expect(readAdapter(join(out, run, 'adapter'))).resolves.toBeDefined();
      }
    }
  });
});

test('stopped or killed, the same command goes on and ends with what an undisturbed run gives', async () => {
  const args = ['--model', tiny, '--data', text, '--steps', '6', '--device', 'cpu', '--json', '--out'];
  const lossesOf = async (run: Run): Promise<unknown> =>
    JSON.parse(await readFile(JSON.parse(run.stdout.trimEnd().split('\n').at(-1)!).losses, 'utf8'));
  const whole = await runDemoCli([...args, outFolder('undisturbed')]);
  const out = outFolder('stopped');
  let isSent = false;
  const stopped = await runDemoCli([...args, out], (seen, kill) => {
    if (isSent || !/step 2\/6/.test(seen)) return;
    isSent = true;
    kill('SIGINT');
  });
  expect(stopped.code).toBe(130);
  expect(stopped.stderr).toMatch(
    /\nStopped after step [2-5] of 6, which are kept: the same command goes on from there\.\n$/,
  );
  expect(await readdir(out)).toEqual([
    expect.stringMatching(/^unfinished-\w+\.safetensors$/),
    expect.stringMatching(/\.safetensors\.1$/),
  ]);
  await runDemoCli([...args, out], (seen, kill) => /step [45]\/6/.test(seen) && kill());
  const again = await runDemoCli([...args, out]);
  expect(await lossesOf(again)).toEqual(await lossesOf(whole));
  expect((await readdir(out)).filter((name) => name.startsWith('unfinished'))).toEqual([]);
}, 120_000);

describe('a comparison goes on', () => {
  const compared = (out: string, data: string, onProgress?: Parameters<typeof runDemoCli>[1]): Promise<Run> =>
    runDemoCli(
      [
        ...['--compare', 'promptTuning,ssf,lora', '--model', tiny, '--data', data],
        ...['--steps', '6', '--device', 'cpu', '--json', '--out', out],
      ],
      onProgress,
    );
  /** Sends it a signal, once. */
  const cutAt = (moment: RegExp, signal: NodeJS.Signals, out: string, data: string = text): Promise<Run> => {
    let isSent = false;
    return compared(out, data, (seen, kill) => {
      if (isSent || !moment.test(seen)) return;
      isSent = true;
      kill(signal);
    });
  };
  const lossesOf = async ({ code, stdout, stderr }: Run): Promise<unknown> => {
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const { runs } = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
    return Promise.all(
      runs.map(async (run: { method: string; losses: string }) => [run.method, await readFile(run.losses, 'utf8')]),
    );
  };

  test('killed or stopped: what is done is kept, the method under way goes on, the table is the same', async () => {
    const whole = await lossesOf(await compared(outFolder('compared-whole'), text));
    const out = outFolder('compared-cut');
    const killed = await cutAt(/promptTuning {2}step 2\//, 'SIGKILL', out);
    expect([killed.code, killed.stdout]).toEqual([null, '']);
    const stopped = await cutAt(/ssf {2}step 2\//, 'SIGINT', out);
    // A step is told before it is written, so the one that was told last may be done again.
    expect(Number(/promptTuning {2}step (\d)/.exec(stopped.stderr)![1])).toBeGreaterThan(1);
    expect([stopped.code, stopped.stdout]).toEqual([130, '']);
    expect(stopped.stderr).toMatch(
      /Stopped with 1 of 3 methods done, which are kept: the same command goes on from there\.\n$/,
    );
    expect(stopped.stderr, 'the third is not begun').not.toContain('lora, 3 of 3');
    const again = await compared(out, text);
    expect(await lossesOf(again)).toEqual(whole);
    expect(again.stderr).toContain('promptTuning, 1 of 3, was done before\n');
    expect(again.stderr).not.toMatch(/promptTuning {2}step/);
    expect(Number(/ssf {2}step (\d)/.exec(again.stderr)![1])).toBeGreaterThan(1);
    expect((await readdir(out)).filter((name) => name.startsWith('unfinished'))).toEqual([]);
  }, 120_000);

  test('with another text it begins anew', async () => {
    const out = outFolder('cut-text');
    const other = join(work, 'other.txt');
    await cp(text, other);
    expect((await cutAt(/ssf, 2 of 3/, 'SIGTERM', out, other)).code).toBe(143);
    await writeFile(other, `${await readFile(text, 'utf8')} It was the epoch of belief.`);
    const again = await cutAt(/promptTuning {2}step 1\//, 'SIGKILL', out, other);
    expect(again.stderr).not.toContain('was done before');
  }, 120_000);
});

describe('what is wrong is said in one message, and leaves no trace', () => {
  const broken = async (name: string, change: (dir: string) => Promise<unknown>): Promise<string> => {
    const dir = join(work, name);
    await cp(tiny, dir, { recursive: true });
    await change(dir);
    return dir;
  };
  const editConfig =
    (changes: object) =>
    async (dir: string): Promise<void> => {
      const file = join(dir, 'config.json');
      await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), ...changes }));
    };
  const editHeader =
    (from: string, to: string) =>
    async (dir: string): Promise<void> => {
      const file = join(dir, 'model.safetensors');
      const bytes = await readFile(file);
      const at = bytes.indexOf(from);
      bytes.write(to, at, 'latin1');
      await writeFile(file, bytes);
    };
  const model = (name: string, change: (dir: string) => Promise<unknown>) => async (): Promise<string[]> => [
    '--model',
    await broken(name, change),
    '--data',
    text,
  ];

  test.each<readonly [string, () => Promise<string[]>, RegExp]>([
    ['no model folder', async () => ['--model', join(work, 'nowhere'), '--data', text], /nowhere/],
    [
      'no weights',
      model('no-weights', (dir) => rm(join(dir, 'model.safetensors'))),
      /has neither model\.safetensors nor/,
    ],
    [
      'truncated weights',
      model('truncated', (dir) => truncate(join(dir, 'model.safetensors'), 5000)),
      /model\.safetensors/,
    ],
    [
      'a header that lies about offsets',
      model('offsets', editHeader('"data_offsets":[0,', '"data_offsets":[9,')),
      /model\.safetensors/,
    ],
    [
      'a header that lies about its length',
      model('length', async (dir) => {
        const file = join(dir, 'model.safetensors');
        const bytes = await readFile(file);
        bytes.writeBigUInt64LE(2n ** 60n);
        await writeFile(file, bytes);
      }),
      /model\.safetensors/,
    ],
    [
      'an unknown architecture',
      model('mamba', editConfig({ model_type: 'mamba', architectures: ['MambaForCausalLM'] })),
      /mamba.*llama/s,
    ],
    [
      'a config that does not fit the weights',
      model('wide', editConfig({ num_hidden_layers: 2 })),
      /model\.layers\.1\..* is missing/,
    ],
    [
      'rows longer than the model',
      async () => ['--model', tiny, '--data', text, '--context', '99999'],
      /--context: the model has \d+ positions, fewer than 99999/,
    ],
    [
      'layers of a method that has none to choose',
      async () => ['--model', tiny, '--data', text, '--method', 'promptTuning', '--target', 'q_proj'],
      /--target: promptTuning has no target; leave it out/,
    ],
    [
      'a text shorter than a context',
      async () => {
        const short = join(work, 'short.txt');
        await writeFile(short, 'Call me Ishmael.');
        return ['--model', tiny, '--data', short];
      },
      /too short/,
    ],
    ['no text file', async () => ['--model', tiny, '--data', join(work, 'no.txt')], /no\.txt/],
    ['an unknown method', async () => ['--method', 'lara'], /no method lara; there are .*lora/s],
    ['an unknown method among others', async () => ['--compare', 'lora,lara'], /no method lara/],
    [
      'a rank for a method without one',
      async () => ['--model', tiny, '--data', text, '--method', 'promptTuning', '--rank', '2'],
      /promptTuning has no rank/,
    ],
    ['an unknown device', async () => ['--device', 'tpu'], /tpu.*cpu, webgpu/s],
    ['a count that is none', async () => ['--steps', 'many'], /--steps.*whole number/s],
    ['an unknown option', async () => ['--stepz', '3'], /unknown option.*--stepz/s],
    [
      'too little memory',
      async () => ['--model', tiny, '--data', text, '--device', 'cpu', '--rank', '2000000000'],
      /memory/,
    ],
  ])('%s', async (name, args, message) => {
    const out = outFolder(name);
    const { code, stdout, stderr } = await runDemoCli([...(await args()), '--out', out]);
    expect({ code, stdout, stderr }).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(message) });
    expect(stderr, 'a message, not a stack trace').not.toMatch(/^\s+at /m);
    expect(await exists(out)).toBe(false);
  });

  test('no adapter', async () => {
    const dir = join(work, 'empty');
    await mkdir(dir, { recursive: true });
    await expect(load(await loadModel(tiny), dir, [lora])).rejects.toMatchObject({
      code: 'file-missing',
      message: expect.stringContaining('not a whole adapter'),
    });
  });
});
