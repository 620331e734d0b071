import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach, combine, type GradientTransform } from '@peftjs/core';
import { batch, fromArray, pipe, repeat, shuffle } from '@peftjs/data';
import { openSafetensors, writeSafetensors } from '@peftjs/io';
import { dora, lora } from '@peftjs/lora';
import { mul, neg, reference, type Variable } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import {
  allWeights,
  cosine,
  evaluateLoss,
  linear,
  type Progress,
  packTokens,
  type TrainOptions,
  type TrainResult,
  train,
} from './index.ts';

const rows = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});
const options = { data: rows, steps: 6, batchSize: 2, schedule: linear({ learningRate: 0.05, steps: 6 }) };
const items = rows.rows.map((row) => ({ ids: row.slice(0, 6), labels: row.slice(1) }));
const endless = () => pipe(fromArray(items), shuffle({ seed: 3 }), repeat(), batch({ size: 2 }));

describe('the options of train', () => {
  const refused = async (more: object): Promise<string> => {
    const target = attach(tinyLlama(), [lora({ rank: 2 })]);
    const error = await train(target, { ...options, executor: reference(), ...more } as TrainOptions).catch((e) => e);
    expect(error).toMatchObject({ code: 'bad-option' });
    return (error as Error).message;
  };

  test.each([Number.NaN, -1, 1.5, 0, '3', Number.POSITIVE_INFINITY])('steps are no %s', async (steps) => {
    expect(await refused({ steps })).toContain('train: steps must be a whole number of at least 1, got');
  });

  test('are told all at once, with those that there are not', async () => {
    const message = await refused({
      steps: Number.NaN,
      accumulate: 0,
      batchSize: 2.5,
      learningRate: 1e-3,
      optimizer: 'adamw',
      heldOut: { data: rows, evry: 5 },
      checkpoint: { file: '', every: 0 },
    });
    for (const part of [
      'train: steps must be a whole number of at least 1, got NaN; ',
      'accumulate must be a whole number of at least 1, got 0; ',
      'batchSize must be a whole number of at least 1, got 2.5; ',
      'optimizer must be an optimiser, got "adamw"; ',
      'there is no option learningRate; there are executor, data, steps, ',
      'heldOut: every is missing: it must be a whole number of at least 1; ',
      'heldOut: there is no option evry; ',
      'checkpoint: file must be a text, got ""; ',
      'checkpoint: every must be a number of at least 1, got 0',
    ])
      expect(message).toContain(part);
  });

  test('say what does not go together', async () => {
    expect(await refused({ data: endless() })).toContain('batchSize is for data that is rows');
    expect(await refused({ group: { rank: 2, size: 2, allReduce: () => {}, broadcast: () => {} } })).toContain(
      'rank must be below size, 2, got 2',
    );
  });
});

describe('a schedule that is not given', () => {
  const rates = async (target: Parameters<typeof train>[0]): Promise<number[]> => {
    const { schedule: _, ...rest } = options;
    const { losses } = await train(target, { ...rest, executor: reference(), steps: 20 });
    return losses.map((l) => l.learningRate);
  };

  test('is that of the method, after a warm-up, and falls to nothing', async () => {
    const found = await rates(attach(tinyLlama(), [lora({ rank: 2 })]));
    expect(found).toEqual(
      found.map((_, i) => expect.closeTo(cosine({ learningRate: lora.narrowRate!, steps: 20, warmup: 1 })(i), 9)),
    );
    const both = attach(tinyLlama(), [
      combine([lora({ rank: 2, target: ['q_proj'] }), dora({ rank: 2, target: ['v_proj'] })]),
    ]);
    expect(both.learningRate).toBe(Math.min(lora.narrowRate!, dora.narrowRate!));
    expect(Math.max(...(await rates(allWeights(tinyLlama()))))).toBeCloseTo(5e-5, 9);
  });

  test('is asked for where no rate is known', async () => {
    const target = { ...allWeights(tinyLlama()), learningRate: null };
    await expect(rates(target)).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('train: schedule is missing'),
    });
  });
});

describe('streams', () => {
  const { batchSize: _, ...rest } = options;

  test('are trained on and evaluated, batches of any length', async () => {
    const executor = reference();
    const adapted = attach(tinyLlama(), [lora({ rank: 4, target: 'all-linear' })]);
    const uneven = items.map(({ ids, labels }, i) => ({
      ids: ids.slice(0, 4 + (i % 3)),
      labels: labels.slice(0, 4 + (i % 3)),
    }));
    const data = pipe(fromArray(uneven), shuffle({ seed: 0 }), repeat(), batch({ size: 3 }));
    const heldOut = { data: pipe(fromArray(items), batch({ size: 4 })), every: 6 };
    const result = await train(adapted, { ...rest, steps: 12, data, heldOut, executor });
    expect(result.losses.length).toBe(12);
    expect(result.heldOut.at(-1)!.loss).toBeLessThan(result.heldOut[0]!.loss);
    const again = await evaluateLoss(adapted.model, rows, { executor, batchSize: 3 });
    expect(result.heldOut.at(-1)!.loss).toBeCloseTo(again.loss, 5);
    expect(again.tokens).toBe(6 * rows.rows.length);
  });

  test('that end before the run say so', async () => {
    const target = attach(tinyLlama(), [lora({ rank: 2 })]);
    const data = pipe(fromArray(items), batch({ size: 4 }));
    await expect(train(target, { ...rest, data, executor: reference() })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(/after step 3 of 6: .*the data ends after 3 batches/),
    });
  });

  test('go on from where the checkpoint says that they stood', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'train-test-'));
    const checkpoint = { file: join(dir, 'run.safetensors'), every: 2 };
    const run = async (stopAt: number | null, more: Partial<TrainOptions>): Promise<TrainResult> => {
      const stop = new AbortController();
      const onStep = async ({ step }: Progress): Promise<void> => {
        // It is waited for.
        await new Promise((done) => setTimeout(done, 1));
        if (step === stopAt) stop.abort();
      };
      const target = attach(tinyLlama(), [lora({ rank: 2 })]);
      return train(target, {
        ...rest,
        data: endless(),
        executor: reference(),
        onStep,
        signal: stop.signal,
        accumulate: 2,
        ...more,
      });
    };
    const whole = await run(null, {});
    // Some of the steps under way when the run stops are not read yet.
    expect((await run(3, { checkpoint, readEvery: 2 })).losses.length).toBe(4);
    const rest2 = await run(null, { checkpoint });
    expect(rest2.losses.map((l) => l.loss)).toEqual(whole.losses.map((l) => expect.closeTo(l.loss, 5)));
    const file = await openSafetensors(checkpoint.file);
    expect(JSON.parse(file.metadata.get('peftjs.run')!).data).not.toBeNull();
    await file.close();
    await rm(dir, { recursive: true });
  });
});

describe('what is no finite number', () => {
  const poison = async (v: Variable, executor: ReturnType<typeof reference>): Promise<void> => {
    const values = Float32Array.from(await executor.read(v));
    values[1] = Number.NaN;
    await executor.write(v, values);
  };

  test('in the base or the adapter is named, and the run is no success', async () => {
    for (const from of ['base', 'adapter'] as const) {
      const executor = reference();
      const base = tinyLlama();
      const adapted = attach(base, [lora({ rank: 2 })]);
      const layer = base.linears.get('model.layers.0.self_attn.q_proj')!;
      const v = (from === 'base' ? layer.dense().weight : [...adapted.params.values()][0]) as Variable;
      await poison(v, executor);
      // Fewer steps than may be skipped.
      await expect(train(adapted, { ...options, steps: 2, executor })).rejects.toMatchObject({
        code: 'diverged',
        message: expect.stringContaining(`no finite number in ${v.node.name}, from before the first step`),
      });
    }
  });

  test('in held-out data ends the run', async () => {
    const executor = reference();
    const base = tinyLlama();
    const table = base.embeddings.get('model.embed_tokens')!.weight as Variable;
    const values = Float32Array.from(await executor.read(table));
    // A token that the training data lacks.
    values.fill(Number.NaN, 0, table.shape[1]);
    await executor.write(table, values);
    const heldOut = { data: { context: 6, rows: [Int32Array.of(0, 1, 2, 3, 4, 5, 6)] }, every: 3 };
    await expect(train(attach(base, [lora({ rank: 2 })]), { ...options, executor, heldOut })).rejects.toMatchObject({
      code: 'diverged',
      message: expect.stringMatching(/the held-out loss is NaN after step 0; .*model\.embed_tokens\.weight/),
    });
  });

  test('that the last step makes is no success, and no checkpoint', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'train-test-'));
    const checkpoint = { file: join(dir, 'run.safetensors'), every: 1, keep: 1 };
    /** Its third step overflows, of a gradient that is finite. */
    const wild: GradientTransform = {
      name: 'wild',
      steps: true,
      update: ({ values }, { rate }) => ({
        values: new Map([...values].map(([p, g]) => [p, mul(mul(neg(rate), g), rate)])),
        state: [],
      }),
    };
    const schedule = (step: number): number => (step < 2 ? 0.1 : 1e25);
    const run = (more: Partial<TrainOptions>) =>
      train(attach(tinyLlama(), [lora({ rank: 2 })]), {
        ...options,
        steps: 3,
        optimizer: wild,
        schedule,
        ...more,
      } as TrainOptions);
    await expect(run({ executor: reference() })).rejects.toMatchObject({
      code: 'diverged',
      message: expect.stringContaining('train: after step 3 '),
    });
    await expect(run({ executor: reference(), checkpoint })).rejects.toMatchObject({ code: 'diverged' });
    const file = await openSafetensors(checkpoint.file);
    expect(JSON.parse(file.metadata.get('peftjs.run')!).step).toBe(2);
    // A file that holds such a number is not gone on from.
    const tensors = new Map(
      await Promise.all(
        [...file.tensors.keys()].map(async (name, i) => {
          const { dtype, shape, data } = await file.read(name);
          if (i === 0) (data as Float32Array)[0] = Number.NaN;
          return [name, { dtype, shape, data }] as const;
        }),
      ),
    );
    const [first] = tensors.keys();
    await file.close();
    await writeSafetensors(checkpoint.file, tensors as never, Object.fromEntries(file.metadata));
    await expect(run({ executor: reference(), checkpoint })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining(`${first} holds what is no finite number`),
    });
    await rm(dir, { recursive: true });
  });
});
