import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { openSafetensors } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { type Executable, type Executor, PeftError, reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { webgpu } from '@peftjs/webgpu';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { linear, packTokens, type TrainOptions, type TrainResult, train } from './index.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'trainer-safe-'));
});
afterAll(() => rm(dir, { recursive: true }));

const rows = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});
const steps = 9;
const options = { data: rows, steps, batchSize: 2, schedule: linear({ learningRate: 0.05, steps }), seed: 3 };

/** Trains the same small adapter, and gives what it comes to. */
const run = async (executor: Executor, more: Partial<TrainOptions>): Promise<TrainResult & { weights: number[] }> => {
  const adapted = attach(tinyLlama(), [lora({ rank: 2, dropout: 0.1 })]);
  const result = await train(adapted, { ...options, executor, ...more });
  const weights: number[] = [];
  for (const p of adapted.params.values()) weights.push(...(await executor.read(p)));
  return { ...result, weights };
};

const stepOf = async (file: string): Promise<{ step: number; losses: number }> => {
  await using reader = await openSafetensors(file);
  const { step, log } = JSON.parse(reader.metadata.get('peftjs.run')!);
  return { step, losses: log.losses.length };
};

const fault = {
  lost: new PeftError('device-lost', 'the device is gone'),
  memory: new PeftError('out-of-memory', 'the device has no memory for a matmul'),
};

/**
 * An executor whose n-th training step fails, at once or when the results are read. After `device-lost` it does nothing any more, after
 * another error it goes on.
 */
const failing = (at: number, error: PeftError, late = false): Executor => {
  const inner = reference();
  let count = 0;
  let lost = false;
  const guard =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (lost) throw error;
      return work(...args);
    };
  const fail = (): never => {
    lost = error.code === 'device-lost';
    throw error;
  };
  return {
    ...inner,
    compile: guard(async (program) => {
      const executable = await inner.compile(program);
      let pending = false;
      const isStep = program.outputs.has('gradNorm');
      const wrapped: Executable = {
        ...executable,
        run: guard(async (feeds, how) => {
          if (isStep && ++count === at) {
            if (!late) fail();
            pending = true;
            return {};
          }
          return executable.run(feeds, how);
        }),
        kept: guard(async () => {
          if (pending) {
            pending = false;
            fail();
          }
          return executable.kept();
        }),
      };
      return wrapped;
    }),
    read: guard(inner.read),
    write: guard(inner.write),
  };
};

/** Goes on from a file, and must end where a run ends that nothing happened to. */
const goesOn = async (file: string, every: number): Promise<void> => {
  const whole = await run(reference(), {});
  const rest = await run(reference(), { checkpoint: { file, every } });
  expect(rest.losses.map((l) => l.step)).toEqual(whole.losses.map((l) => l.step));
  // The file keeps f32, the reference executor double precision.
  expect(rest.losses.map((l) => l.loss)).toEqual(whole.losses.map((l) => expect.closeTo(l.loss, 4)));
  expect(rest.weights).toEqual(whole.weights.map((w) => expect.closeTo(w, 4)));
};

describe('a step that fails', () => {
  test.each([false, true])(
    'on a device that still answers: all steps before it are kept (told late: %s)',
    async (late) => {
      const file = join(dir, `memory-${late}.safetensors`);
      const failed = run(failing(6, fault.memory, late), { checkpoint: { file, every: 4 }, readEvery: 2 });
      await expect(failed).rejects.toMatchObject({
        code: 'out-of-memory',
        cause: fault.memory,
        message: expect.stringMatching(
          /^train: in one of the steps 5 to 6 of 9: the device has no memory for a matmul; .*memory-.*keeps the run up to step 5: train with the same options/,
        ),
      });
      expect(await stepOf(file)).toEqual({ step: 5, losses: 5 });
      await goesOn(file, 4);
    },
  );

  test('on a device that is lost: the newest copy is kept, and the steps that may have failed are named', async () => {
    const file = join(dir, 'lost.safetensors');
    const failed = run(failing(8, fault.lost, true), { checkpoint: { file, every: 4, copyEvery: 3 }, readEvery: 2 });
    await expect(failed).rejects.toMatchObject({
      code: 'device-lost',
      message: expect.stringMatching(/^train: in one of the steps 7 to 8 of 9: the device is gone; .*up to step 6: /),
    });
    expect(await stepOf(file)).toEqual({ step: 6, losses: 6 });
    await goesOn(file, 4);
  });

  test('on a device that is lost: a file newer than the copy stays', async () => {
    const file = join(dir, 'newer.safetensors');
    const failed = run(failing(6, fault.lost), { checkpoint: { file, every: 4, copyEvery: 3 } });
    await expect(failed).rejects.toMatchObject({
      code: 'device-lost',
      message: expect.stringMatching(
        /^train: in step 6 of 9: the device is gone; .*up to step 4 \(not further: the device is gone\)/,
      ),
    });
    expect((await stepOf(file)).step).toBe(4);
  });

  test('says where nothing is kept', async () => {
    await expect(run(failing(3, fault.lost), {})).rejects.toThrow(
      'train: in step 3 of 9: the device is gone; nothing was kept of the run: give `checkpoint`',
    );
    const file = join(dir, 'none.safetensors');
    await expect(run(failing(1, fault.memory), { checkpoint: { file, every: 4 } })).rejects.toThrow('no step was kept');
    await expect(openSafetensors(file)).rejects.toMatchObject({ code: 'file-missing' });
  });

  test('what the caller throws comes back as it is, after the run was kept', async () => {
    const file = join(dir, 'caller.safetensors');
    const error = new Error('the caller');
    const onStep = ({ step }: { step: number }): void => {
      if (step === 3) throw error;
    };
    await expect(run(reference(), { checkpoint: { file, every: 100 }, onStep })).rejects.toBe(error);
    expect((await stepOf(file)).step).toBe(3);
  });

  test('a copy that there is no memory for ends a run only where it was asked for', async () => {
    let refused = 0;
    const tight = (): Executor => {
      const inner = reference();
      const compile: Executor['compile'] = async (program) => {
        if (program.nodes.length > 0) return inner.compile(program);
        refused++;
        throw fault.memory;
      };
      return { ...inner, name: 'webgpu', compile };
    };
    const file = join(dir, 'tight.safetensors');
    const { losses } = await run(tight(), { checkpoint: { file, every: 100 }, readEvery: 2 });
    expect([losses.length, refused]).toEqual([steps, 1]);
    const other = join(dir, 'asked.safetensors');
    const asked = run(tight(), { checkpoint: { file: other, every: 100, copyEvery: 2 }, readEvery: 2 });
    await expect(asked).rejects.toMatchObject({ code: 'out-of-memory' });
    expect((await stepOf(other)).step).toBe(2);
  });

  test('intervals that are none are refused before anything is compiled', async () => {
    const file = join(dir, 'never.safetensors');
    const compiled = failing(1, fault.memory);
    for (const checkpoint of [
      { file, every: 0 },
      { file, every: 2, copyEvery: Number.NaN },
    ])
      await expect(run(compiled, { checkpoint })).rejects.toMatchObject({ code: 'bad-option' });
  });

  test('what has diverged is not written over what was good', async () => {
    const file = join(dir, 'diverged.safetensors');
    const schedule = (i: number): number => (i < 4 ? 0.01 : 1e30);
    await expect(run(reference(), { checkpoint: { file, every: 4 }, schedule, maxSkipped: 1 })).rejects.toMatchObject({
      code: 'diverged',
    });
    expect((await stepOf(file)).step).toBe(4);
  });
});

test('WebGPU: a device that is closed under a run leaves the run in the file', async () => {
  const executor = await webgpu({ adapter: 'software' });
  const file = join(dir, 'webgpu.safetensors');
  const onStep = ({ step }: { step: number }): void => {
    if (step === 5) void executor.close();
  };
  await expect(run(executor, { checkpoint: { file, every: 100 }, readEvery: 2, onStep })).rejects.toMatchObject({
    code: 'bad-program',
    message: expect.stringMatching(/^train: .* of 9: .*webgpu.safetensors keeps the run up to step 4: /s),
  });
  expect(await stepOf(file)).toEqual({ step: 4, losses: 4 });
  await goesOn(file, 100);
});
