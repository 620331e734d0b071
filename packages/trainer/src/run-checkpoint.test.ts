import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { openSafetensors, type WriteTensor, writeSafetensors } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { isPeftError, normalValues, randomSource, reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/transformer/testing';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  adamw,
  adamw8bit,
  chain,
  clip,
  linear,
  packTokens,
  type TrainOptions,
  type TrainResult,
  train,
} from './index.ts';

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'peftjs-checkpoint-'));
  file = join(dir, 'run.safetensors');
});
afterEach(() => rm(dir, { recursive: true }));

const dataOf = (shift: number) =>
  packTokens([Array.from({ length: 60 }, (_, i) => (i * 7 + shift) % 12)], { context: 6, endOfText: 12 });
const data = dataOf(0);
const steps = 6;

interface Run extends Partial<TrainOptions> {
  readonly model?: ReturnType<typeof tinyLlama>;
  readonly alpha?: number;
}

/** Trains with a checkpoint at each step; the result, and the weights. */
const run = async ({
  model = tinyLlama(),
  alpha = 4,
  ...more
}: Run = {}): Promise<TrainResult & { weights: number[]; asked: number[] }> => {
  const adapted = attach(model, [lora({ rank: 2, alpha })]);
  const [executor, asked]: [ReturnType<typeof reference>, number[]] = [reference(), []];
  const result = await train(adapted, {
    executor,
    data,
    steps,
    batchSize: 2,
    schedule: linear({ learningRate: 0.05, steps }),
    checkpoint: { file, every: 1 },
    ...more,
    onStep: async (p) => {
      asked.push(p.step);
      await more.onStep?.(p);
    },
  });
  const weights: number[] = [];
  for (const p of adapted.params.values()) weights.push(...(await executor.read(p)));
  return { ...result, weights, asked };
};

const stopAt = (step: number): Pick<TrainOptions, 'onStep' | 'signal'> => {
  const stop = new AbortController();
  return { signal: stop.signal, onStep: (p) => p.step === step && stop.abort() };
};

const refusal = async (options: Run): Promise<string> => {
  const error = await run(options).then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toMatchObject({ code: 'state-mismatch' });
  return (error as Error).message;
};

/** Writes a checkpoint again, with other metadata or tensors. */
const rewrite = async (
  path: string,
  change: (json: string, tensors: Map<string, WriteTensor>) => string,
): Promise<void> => {
  const tensors = new Map<string, WriteTensor>();
  let text: string;
  {
    await using reader = await openSafetensors(path);
    text = reader.metadata.get('peftjs.run')!;
    for (const name of reader.tensors.keys()) tensors.set(name, await reader.read(name));
  }
  await writeSafetensors(path, tensors, { 'peftjs.run': change(text, tensors) });
};

describe('a checkpoint belongs to its run', () => {
  test.each<readonly [string, Run, RegExp]>([
    ['other text', { data: dataOf(1) }, /: data was 10 rows, \w{16}, is 10 rows, \w{16}\. Give another file/],
    ['another order of the same rows', { data: { ...data, rows: data.rows.toReversed() } }, /: data was .*, is /],
    ['another seed', { seed: 9 }, /: seed was 0, is 9\./],
    ['another size of batches', { batchSize: 3 }, /: batchSize was 2, is 3\./],
    ['more batches a step', { accumulate: 2 }, /accumulate was 1, is 2/],
    ['another option of the method', { alpha: 8 }, /: method was lora \w+, is lora \w+\./],
    ['another base of the same shape', { model: tinyLlama({}, 3) }, /: base was \w{16}, is \w{16}\./],
    ['fewer steps than are done', { steps: 2 }, /it is after step 3, the run asks for 2 steps in all/],
  ])('%s', async (_, other, message) => {
    await run(stopAt(3));
    expect(await refusal(other)).toMatch(message);
    // It is as it was: the run itself goes on.
    expect((await run()).asked).toEqual([4, 5, 6]);
  });

  test('who lowers the rate or lengthens the run goes on', async () => {
    await run();
    const longer = await run({ steps: 8, schedule: () => 1e-3 });
    expect(longer.asked).toEqual([7, 8]);
    expect(longer.resumed).toEqual({ file, step: 6, unsound: [] });
  });

  test('one optimiser used for two runs keeps nothing of the first', async () => {
    const optimizer = chain(clip(1), adamw());
    const alone = await run({ checkpoint: { file: join(dir, 'a'), every: 1 }, optimizer: chain(clip(1), adamw()) });
    await run({ checkpoint: { file: join(dir, 'b'), every: 1 }, optimizer, seed: 4 });
    const second = await run({ checkpoint: { file: join(dir, 'c'), every: 1 }, optimizer });
    expect(second.weights).toEqual(alone.weights);
  });

  test('tensors have their own types in the file', async () => {
    const options = { optimizer: chain(clip(1), adamw8bit({ leastSize: 1 })) };
    await run(options);
    await using reader = await openSafetensors(file);
    const types = new Map([...reader.tensors].map(([name, { dtype }]) => [name, dtype]));
    expect(types.get('peftjs.sha256')).toBe('BOOL');
    expect(new Set([...types.values()])).toEqual(new Set(['F32', 'U8', 'BOOL']));
    expect((await run(options)).asked).toEqual([]);
  });
});

describe('a damaged checkpoint', () => {
  test('gives way to the one before, which is said', async () => {
    const whole = await run({ checkpoint: { file: join(dir, 'whole'), every: 1 } });
    await run(stopAt(4));
    const bytes = await readFile(file);
    bytes[bytes.length - 60]! ^= 1;
    await writeFile(file, bytes);
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const again = await run();
    expect(again.asked).toEqual([4, 5, 6]);
    // The reference computes in double precision, of which a file keeps only a part.
    again.weights.forEach((w, i) => void expect(w).toBeCloseTo(whole.weights[i]!, 5));
    expect(again.resumed).toMatchObject({ file: `${file}.1`, step: 3, unsound: [expect.stringContaining('checksum')] });
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(/goes on from .*\.1, after step 3, for .*checksum/),
    );
    warn.mockRestore();
  });

  test('is an error where none before it is kept or sound', async () => {
    await run({ ...stopAt(3), checkpoint: { file, every: 1, keep: 1 } });
    expect(await readdir(dir)).toEqual(['run.safetensors']);
    await rewrite(file, (_, tensors) => {
      const [[name, tensor]] = tensors as unknown as [[string, WriteTensor]];
      tensors.set(name, { ...tensor, data: (tensor.data as Float32Array).map((x) => x + 1) });
      return _;
    });
    await expect(run()).rejects.toMatchObject({ code: 'bad-data', message: expect.stringContaining('checksum') });
  });

  test('as many are kept as asked for', async () => {
    await run({ checkpoint: { file, every: 1, keep: 3 } });
    expect((await readdir(dir)).sort()).toEqual(['run.safetensors', 'run.safetensors.1', 'run.safetensors.2']);
  });

  test('whatever its metadata says, it is read or refused with our error', async () => {
    await run({ ...stopAt(3), checkpoint: { file, every: 1, keep: 1 } });
    const sound = await readFile(file);
    const r = randomSource(7, 'metadata');
    const draw = (n: number): number => Math.abs(Math.trunc(normalValues(1, 1e6, r)[0]!)) % n;
    const odd = [null, -1, 1.5, 1e300, 'x', [], {}, [null], { step: -1 }, true, '__proto__'];
    const mutated = (value: unknown): unknown => {
      if (draw(4) === 0 || typeof value !== 'object' || value === null) return odd[draw(odd.length)];
      const keys = Object.keys(value);
      const key = keys[draw(keys.length)];
      if (key === undefined) return odd[draw(odd.length)];
      const copy = structuredClone(value) as Record<string, unknown>;
      if (draw(5) === 0 && !Array.isArray(copy)) delete copy[key];
      else copy[key] = mutated(copy[key]);
      return copy;
    };
    let refused = 0;
    for (let i = 0; i < 60; i++) {
      await writeFile(file, sound);
      await rewrite(file, (json) =>
        draw(8) === 0 ? json.slice(0, draw(json.length)) : JSON.stringify(mutated(JSON.parse(json))),
      );
      const error = await run({ signal: AbortSignal.abort() }).then(
        () => null,
        (e: unknown) => e,
      );
      if (error !== null && !isPeftError(error)) throw error;
      if (error !== null) refused++;
    }
    expect(refused).toBeGreaterThan(40);
  });
});

describe('the ends of a run', () => {
  test('where nothing can be written is known before the first step', async () => {
    const steps: number[] = [];
    const checkpoint = { file: join(dir, 'no', 'such', 'run'), every: 6 };
    await expect(run({ checkpoint, onStep: (p) => steps.push(p.step) })).rejects.toMatchObject({
      code: 'write-failed',
    });
    expect(steps).toEqual([]);
    expect(await readdir(dir)).toEqual([]);
  });

  test('a folder in the place of the checkpoint is told before the first step', async () => {
    const steps: number[] = [];
    await expect(run({ checkpoint: { file: dir, every: 1 }, onStep: (p) => steps.push(p.step) })).rejects.toMatchObject(
      {
        code: 'write-failed',
        message: expect.stringContaining('it is a folder, not a file'),
      },
    );
    expect(steps).toEqual([]);
  });

  test('who has asked for an end before the start gets no step', async () => {
    const { losses, stopped } = await run({ signal: AbortSignal.abort() });
    expect([losses, stopped, await readdir(dir)]).toEqual([[], 'signal', []]);
  });

  test('a finished run whose last steps fill no interval is not done again', async () => {
    const checkpoint = { file, every: 4 };
    const first = await run({ checkpoint });
    const again = await run({ checkpoint });
    expect([first.asked.length, again.asked.length, again.stopped]).toEqual([6, 0, null]);
    again.weights.forEach((w, i) => void expect(w).toBeCloseTo(first.weights[i]!, 6));
    expect(again.losses).toEqual(first.losses);
  });

  const script = join(import.meta.dirname, '../tools/train-slowly.ts');
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends the step, writes the state, and the process has exit code %i', async (signal, code) => {
    const child = spawn(process.execPath, ['--conditions=@peftjs/source', '--import', 'tsx', script, file], {
      cwd: join(import.meta.dirname, '..'),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [out, told] = ['', ''];
    child.stdout.on('data', (text) => {
      out += text;
      if (out.endsWith('step 2\n')) child.kill(signal);
    });
    child.stderr.on('data', (text) => (told += text));
    const [got] = await once(child, 'close');
    expect(told).toBe(`${signal}: the run ends after this step and keeps its state.\nA second one ends it at once.\n`);
    expect([got, out]).toEqual([code, expect.stringMatching(/step 2\n(step 3\n)?stopped by SIG(INT|TERM)\n$/)]);
    await using reader = await openSafetensors(file);
    expect(JSON.parse(reader.metadata.get('peftjs.run')!).step).toBe(out.includes('step 3') ? 3 : 2);
  });
});
