import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { batch, fromArray, pipe, type Row, repeat } from '@peftjs/data';
import { memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/transformer/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { trainFromFile } from '../tools/train-from-file.ts';
import { evaluateLoss, linear, train } from './index.ts';

const script = join(import.meta.dirname, '../tools/train-from-file.ts');
const lines = Array.from({ length: 40 }, (_, i) =>
  JSON.stringify({ text: `${i} call me ishmael`.slice(0, 4 + (i % 14)) }),
).join('\n');

let dir: string;
let file: string;
let whole: Record<string, readonly number[]>;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'peftjs-streams-'));
  file = join(dir, 'data.jsonl');
  await writeFile(file, lines);
  whole = await trainFromFile(file, null);
});
afterAll(() => rm(dir, { recursive: true }));

describe('a run on a stream of a file', () => {
  test('that was stopped at any step ends with the weights of one that was not, to the bit', async () => {
    for (const stopAt of [1, 4, 9, 13, 19]) {
      const checkpoint = join(dir, `stop-${stopAt}.safetensors`);
      const stop = new AbortController();
      await trainFromFile(file, checkpoint, ({ step }) => step === stopAt && stop.abort(), stop.signal);
      const seen: number[] = [];
      const values = await trainFromFile(file, checkpoint, ({ step }) => seen.push(step));
      expect(seen[0]).toBe(stopAt + 1);
      expect(values).toEqual(whole);
    }
  });

  test('goes on from the same file in memory as from the one on disk', async () => {
    const checkpoint = join(dir, 'moved.safetensors');
    const stop = new AbortController();
    await trainFromFile(file, checkpoint, ({ step }) => step === 7 && stop.abort(), stop.signal);
    const files = memoryFiles(new Map([['copy.jsonl', lines]]));
    expect(await trainFromFile({ files, path: 'copy.jsonl' }, checkpoint)).toEqual(whole);
    const longer = memoryFiles(new Map([['copy.jsonl', `${lines}\n{"text":"more"}`]]));
    const again = new AbortController();
    await trainFromFile(file, join(dir, 'other.safetensors'), ({ step }) => step === 7 && again.abort(), again.signal);
    const late = trainFromFile({ files: longer, path: 'copy.jsonl' }, join(dir, 'other.safetensors'));
    await expect(late).rejects.toMatchObject({ code: 'state-mismatch', message: expect.stringContaining('size') });
  });

  test('that was killed again and again ends with them too', async () => {
    const checkpoint = join(dir, 'killed.safetensors');
    const start = (): ChildProcess =>
      spawn(process.execPath, ['--conditions=@peftjs/source', '--import', 'tsx', script, file, checkpoint], {
        cwd: join(import.meta.dirname, '..'),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    let [out, kills] = ['', 0];
    for (const after of [2, 5, 3, Number.POSITIVE_INFINITY]) {
      const child = start();
      let steps = 0;
      out = '';
      child.stdout!.on('data', (text) => {
        out += text;
        steps = out.split('step').length - 1;
        // In the midst of whatever comes next, which often is the checkpoint.
        if (steps >= after && child.exitCode === null) kills += Number(child.kill('SIGKILL'));
      });
      await once(child, 'close');
    }
    expect(kills).toBeGreaterThanOrEqual(3);
    expect(JSON.parse(out.trim().split('\n').at(-1)!)).toEqual(whole);
  });
});

describe('data that does not fit', () => {
  const model = tinyLlama();
  const { vocabSize } = model.config;
  const options = { executor: reference(), steps: 3, schedule: linear({ learningRate: 0.02, steps: 3 }) };
  const good = Int32Array.of(1, 2, 3, 4, 5);
  const bad = Int32Array.of(1, 2, vocabSize, 4, 5);

  test('is refused before the first step where it is in memory', async () => {
    const adapted = attach(model, [lora({ rank: 2 })]);
    const data = { context: 4, rows: [good, bad] };
    await expect(train(adapted, { ...options, data, batchSize: 1 })).rejects.toMatchObject({
      code: 'bad-data',
      message: `train: row 1: ids[2] is the number ${vocabSize}; it holds whole numbers from 0 to ${vocabSize - 1}`,
    });
    const heldOut = { data, every: 1 };
    const sound = { context: 4, rows: [good, good] };
    await expect(train(adapted, { ...options, data: sound, heldOut, batchSize: 1 })).rejects.toMatchObject({
      code: 'bad-data',
    });
    for (const v of adapted.params.values()) expect(await options.executor.read(v)).toEqual(await reference().read(v));
  });

  test('an evaluation ends where its data begins anew, and says so', async () => {
    const row = { ids: Int32Array.of(1, 2, 3), labels: Int32Array.of(2, 3, 4) };
    const endless = pipe(fromArray([row, row, row]), repeat(), batch({ size: 2 }));
    await expect(evaluateLoss(tinyLlama(), endless, { executor: reference() })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('the data begins anew; each row counts once: leave `repeat` out'),
    });
  });

  test('is refused where it comes in a stream, and the steps before it count', async () => {
    const rows = [good, good, bad].map((row): Row => ({ ids: row.slice(0, -1), labels: row.slice(1) }));
    const data = pipe(fromArray(rows), repeat(), batch({ size: 1 }));
    const steps: number[] = [];
    const run = train(attach(model, [lora({ rank: 2 })]), { ...options, data, onStep: ({ step }) => steps.push(step) });
    await expect(run).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining(`train: after step 2 of 3: row 2: ids[2] is the number ${vocabSize}`),
    });
    expect(steps).toEqual([1, 2]);
    const held = pipe(fromArray(rows), batch({ size: 2 }));
    await expect(evaluateLoss(model, held, { executor: reference() })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('row 2: ids[2]'),
    });
  });

  test('without a label has no loss', async () => {
    const rows = [{ ids: good, labels: new Int32Array(5).fill(-100) }];
    const data = pipe(fromArray<Row>(rows), repeat(), batch({ size: 1 }));
    await expect(train(attach(model, [lora({ rank: 2 })]), { ...options, data })).rejects.toMatchObject({
      code: 'bad-data',
    });
    await expect(
      evaluateLoss(model, { context: 4, rows: [] }, { executor: reference(), batchSize: 1 }),
    ).rejects.toMatchObject({
      code: 'bad-data',
    });
  });
});
