import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach, type GradientTransform } from '@peftjs/core';
import { fromArray, pipe, repeat } from '@peftjs/data';
import { lora } from '@peftjs/lora';
import { compile, constant, evaluate, reference, variable } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import {
  adamw,
  allWeights,
  type Batch,
  chain,
  clip,
  cosine,
  evaluateLoss,
  evaluationBatches,
  globalNorm,
  linear,
  makeBatch,
  makeTrainStep,
  type NamedOptimizer,
  optimizerNames,
  optimizerOf,
  type Progress,
  packTokens,
  progressLine,
  reduceOnPlateau,
  scheduleOf,
  sgd,
  shareBar,
  stepsOf,
  type TrainOptions,
  train,
  trainingBatches,
  wsd,
} from './index.ts';
import { optimizerStep } from './optimizer-step.ts';

/** Text with a pattern to learn: each token is followed by its double, modulo 11. */
const rows = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});

describe('schedules', () => {
  test('warm up linearly from 0, then fall to the floor, which is that of the step after the last', () => {
    const options = { learningRate: 1, steps: 12, warmup: 2, floor: 0.1 };
    expect([0, 1, 2, 7, 12, 13].map((i) => linear(options)(i))).toEqual(
      [0, 0.5, 1, 0.55, 0.1, 0.1].map((v) => expect.closeTo(v, 9)),
    );
    expect(cosine({ learningRate: 2, steps: 10 })(5)).toBeCloseTo(1, 9);
    expect(linear({ learningRate: 3, steps: 1 })(0)).toBe(3);
    expect([0, 1, 2].map((i) => linear({ learningRate: 3, steps: 3, warmup: 3 })(i))).toEqual([0, 1, 2]);
  });

  test('have names, with what the run knows filled in', () => {
    const run = { steps: 40, learningRate: 2 };
    const plain = wsd({ learningRate: 2, steps: 40, warmup: 3, decay: 10 });
    const named = scheduleOf({ name: 'wsd', decay: 10, warmupShare: 0.06 }, run);
    const all = Array.from({ length: 40 }, (_, i) => i);
    expect(all.map((i) => named(i))).toEqual(all.map((i) => plain(i)));
    expect(scheduleOf({ name: 'constant', learningRate: 3 }, run)(7)).toBe(3);
    expect(() => scheduleOf({ name: 'exponential' } as never)).toThrow(
      /scheduleOf: name must be one of constant, linear, .*, got "exponential"/,
    );
    expect(() => scheduleOf({ name: 'linear', learningRate: 1 })).toThrow('linear: steps is missing');
    expect(() => scheduleOf({ name: 'linear', warmupShare: 0.1 })).toThrow('a share of steps, which is missing');
    expect(() => scheduleOf({ name: 'linear', warmup: 1, warmupShare: 0.1 }, run)).toThrow('leave one of them out');
    expect(() => scheduleOf({ name: 'linear', warmupShare: 3 }, run)).toThrow('warmupShare must be in [0, 1], got 3');
    expect(() => scheduleOf({ name: 'constant', decay: 3 } as never, run)).toThrow('there is no option decay');
  });

  test('that go by the held-out loss refuse to go without', () => {
    expect(() => reduceOnPlateau({ learningRate: 1 })(0)).toThrow('give `train` heldOut');
  });

  test('say all that is wrong with their options, a warm-up that is a share too', () => {
    expect(() => linear({ learningRate: 0, steps: 1.5, floor: 2 })).toThrow(
      'linear: learningRate must be a number above 0, got 0; steps must be a whole number of at least 1, got 1.5; floor must be in [0, 1], got 2',
    );
    expect(() => cosine({ learningRate: 1, steps: 100, warmup: 0.03 })).toThrow(
      /warmup must be a whole number .*, got 0.03/,
    );
    expect(() => cosine({ learningRate: 1, steps: 3, warmup: 4 })).toThrow('warmup must be at most steps, 3, got 4');
    expect(() => cosine({ learningRate: 1, ...{ step: 3 } } as never)).toThrow(
      /steps is missing.*there is no option step;/,
    );
  });
});

describe('optimizerOf', () => {
  test('is the optimiser of that name, behind a clip', async () => {
    const after = async (optimizer: GradientTransform): Promise<number[]> => {
      const [w, executor] = [variable('w', [2], Float32Array.of(1, -1)), reference()];
      const gradients = { values: new Map([[w, constant(Float32Array.of(3, -4), [2])]]) };
      const { updates, feeds } = optimizerStep(optimizer, gradients, constant(Float32Array.of(1), []));
      await (await compile({ updates }, { executor })).run(feeds(0, 0.1));
      return [...(await executor.read(w))];
    };
    const step = await after(chain(clip(1), sgd({ momentum: 0.5 })));
    expect(step[0]).toBeCloseTo(1 - 0.1 * 0.6, 5);
    expect(await after(optimizerOf({ name: 'sgd', momentum: 0.5 }))).toEqual(step);
    expect((await after(optimizerOf({ name: 'sgd', clip: null })))[0]).toBeCloseTo(1 - 0.1 * 3, 5);
    for (const name of optimizerNames)
      expect((await after(optimizerOf({ name } as NamedOptimizer)))[0], name).toBeLessThan(1);
    expect(() => optimizerOf({ name: 'adam' } as never)).toThrow('optimizerOf: name must be one of adamw, adamw8bit');
    expect(() => optimizerOf({ name: 'lion', momentum: 1 } as never)).toThrow('lion: there is no option momentum');
  });
});

describe('packing', () => {
  test('predicts every token but the first exactly once', () => {
    const { rows: packed } = packTokens(
      [
        [1, 2, 3],
        [4, 5],
      ],
      { context: 3, endOfText: 0, keepRest: true },
    );
    expect(packed.map((r) => [...r])).toEqual([
      [0, 1, 2, 3],
      [3, 0, 4, 5],
      [5, 0],
    ]);
    const { columns } = makeBatch(packed.slice(1), 3, 3);
    const { ids, labels } = columns as { ids: Int32Array; labels: Int32Array };
    expect([...ids]).toEqual([3, 0, 4, 5, 0, 0, 0, 0, 0]);
    expect([...labels]).toEqual([0, 4, 5, 0, -100, -100, -100, -100, -100]);
  });

  test('sizes that are none and rows that have no place in a batch are refused', () => {
    const rows = [Int32Array.of(1, 2, 3)];
    for (const size of [0, -1, 1.5, Number.NaN])
      for (const [of, context] of [
        [size, 2],
        [1, size],
      ] as const)
        expect(() => makeBatch(rows, of, context)).toThrow(expect.objectContaining({ code: 'bad-option' }));
    expect(() => makeBatch(rows, 1, 1)).toThrow('row 0 has 3 tokens; rows of context 1 have at most 2');
    expect(() => makeBatch([...rows, ...rows], 1, 2)).toThrow('got 2 rows for a batch of 1');
  });

  test('batches come of as many rows as memory holds, each once', () => {
    const many = { context: 1, rows: Array.from({ length: 300_000 }, (_, i) => Int32Array.of(i, 0)) };
    const batches = trainingBatches(many, 1000, 0);
    const seen = new Set<number>();
    for (let i = 0; i < 300; i++) for (const id of batches.next().value.columns['ids']!) seen.add(id);
    expect(seen.size).toBe(300_000);
    expect(() => trainingBatches({ context: 1, rows: [] }, 2, 0).next()).toThrow('no rows');
  });

  test('a text shorter than a row is an error that says how long it is', () => {
    expect(() => packTokens([[1, 2]], { context: 8, endOfText: 0 })).toThrow('the text has 4 tokens, a row takes 9');
  });

  test('every epoch visits every row once, in an order of the seed', () => {
    const firsts = (seed: number): string[] => {
      const batches = trainingBatches(rows, 2, seed);
      return Array.from({ length: rows.rows.length }, () => batches.next().value).flatMap(({ columns: { ids } }) => [
        ids!.slice(0, 6).join(),
        ids!.slice(6).join(),
      ]);
    };
    const seen = firsts(1);
    const all = rows.rows.map((r) => [...r.slice(0, 6)].join());
    expect(seen.slice(0, all.length).toSorted()).toEqual(all.toSorted());
    expect(firsts(1)).toEqual(seen);
    expect(firsts(2)).not.toEqual(seen);
  });
});

describe('evaluateLoss', () => {
  test('is the mean over tokens, whatever the batch size', async () => {
    const data = { ...rows, rows: rows.rows.slice(0, 5) };
    const losses = [];
    for (const size of [1, 2, 5])
      losses.push(await evaluateLoss(tinyLlama(), data, { executor: reference(), batchSize: size }));
    expect(losses[0]!.tokens).toBe(30);
    for (const { loss, tokens } of losses) expect([tokens, loss]).toEqual([30, expect.closeTo(losses[0]!.loss, 5)]);
    const labelled = ({ columns }: Batch): number => [...columns['labels']!].filter((label) => label !== -100).length;
    expect([...evaluationBatches(data, 2)].map(labelled)).toEqual([12, 12, 6]);
  });
});

describe('adamw', () => {
  test('moves as the formula says, decays matrices only, and clips by global norm', async () => {
    const r = reference();
    const w = variable('w', [2, 1], Float32Array.of(1, -1));
    const b = variable('b', [1], Float32Array.of(1));
    const grads = [constant(Float32Array.of(3, 0), [2, 1]), constant(Float32Array.of(4), [1])] as const;
    const gradients = new Map([
      [w, grads[0]],
      [b, grads[1]],
    ]);
    const optimizer = chain(clip(1), adamw({ weightDecay: 0.1 }));
    const { updates, gradNorm, feeds, state } = optimizerStep(
      optimizer,
      { values: gradients },
      constant(Float32Array.of(1), []),
    );
    const { 'adamw.hyper': hyper } = feeds(0, 0.01);
    const { norm } = await (await compile({ outputs: { norm: gradNorm }, updates }, { executor: r })).run({
      'adamw.hyper': hyper!,
    });
    expect(norm![0]).toBeCloseTo(5, 5);
    // After one step m̂/√v̂ is the gradient's sign, whatever its size.
    expect([...(await r.read(w))]).toEqual([
      expect.closeTo(1 - 0.01 * (1 + 0.1), 5),
      expect.closeTo(-1 + 0.01 * 0.1, 6),
    ]);
    expect([...(await r.read(b))]).toEqual([expect.closeTo(0.99, 5)]);
    expect((await r.read(state.get(w)![0]!))[0]).toBeCloseTo(0.1 * (3 / 5), 5);
    expect((await evaluate({ n: globalNorm(grads) }, { executor: r }))['n']![0]).toBeCloseTo(5, 5);
  });
});

describe('train', () => {
  const options = { data: rows, steps: 12, batchSize: 2, schedule: linear({ learningRate: 0.05, steps: 12 }), seed: 3 };

  test('learns: the loss falls and the held-out loss with it', async () => {
    const seen: Progress[] = [];
    const adapted = attach(tinyLlama(), [lora({ rank: 4, target: 'all-linear' })]);
    const result = await train(adapted, {
      ...options,
      executor: reference(),
      heldOut: { data: rows, every: 6 },
      onStep: (p) => seen.push(p),
    });
    expect(result.heldOut.map((h) => h.step)).toEqual([0, 6, 12]);
    expect(result.heldOut[2]!.loss).toBeLessThan(0.7 * result.heldOut[0]!.loss);
    expect(seen.map((p) => p.step)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(seen.at(-1)).toMatchObject({ eta: 0, heldOutLoss: result.heldOut[2]!.loss });
  });

  test('counts epochs of rows, and of a stream, which it repeats', async () => {
    const run = async (more: Partial<TrainOptions>): Promise<number[]> => {
      const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
      const schedule = { name: 'linear', learningRate: 0.05 } as const;
      const result = await train(adapted, { data: rows, schedule, executor: reference(), ...more });
      return result.losses.map((l) => l.loss);
    };
    const count = rows.rows.length;
    expect(await stepsOf(rows, { epochs: 2, batchSize: 3 })).toBe(Math.ceil((2 * count) / 3));
    expect(await run({ epochs: 2, batchSize: 3 })).toEqual(
      await run({ steps: Math.ceil((2 * count) / 3), batchSize: 3 }),
    );
    const stream = fromArray([...evaluationBatches(rows, 3)]);
    const batches = Math.ceil(count / 3);
    expect(await stepsOf(stream, { epochs: 1.5, accumulate: 2 })).toBe(Math.ceil((1.5 * batches) / 2));
    const twice = await run({ data: stream, epochs: 2 });
    expect(twice.length).toBe(2 * batches);
    expect(twice).toEqual(await run({ data: pipe(stream, repeat()), steps: 2 * batches }));
    await expect(run({ data: pipe(stream, repeat()), epochs: 1 })).rejects.toThrow('leave `repeat` out, or give steps');
    await expect(run({ data: fromArray<Batch>([]), epochs: 1 })).rejects.toThrow(
      'epochs: there is nothing to train on',
    );
    await expect(run({ epochs: 1, steps: 3 })).rejects.toThrow(
      'train: there are steps and epochs; leave one of them out',
    );
    await expect(run({})).rejects.toThrow(
      'train: steps is missing: it must be a whole number of at least 1; or give epochs',
    );
  });

  test('a rate that waits for the held-out loss falls when that no longer does', async () => {
    const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
    const schedule = reduceOnPlateau({ learningRate: 1e-6, factor: 0.5, patience: 1, threshold: 0.5 });
    const heldOut = { data: rows, every: 2 };
    const { losses } = await train(adapted, { ...options, steps: 8, schedule, heldOut, executor: reference() });
    // The loss before the first step is the best; those after steps 2 and 4 are none.
    expect(losses.map((l) => l.learningRate * 1e6)).toEqual([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]);
    await expect(train(adapted, { ...options, schedule, executor: reference() })).rejects.toThrow(
      'give `train` heldOut',
    );
  });

  test('losses that are read some steps at a time are the same, and none is lost', async () => {
    const run = async (readEvery: number, accumulate = 1) => {
      const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
      const seen: number[] = [];
      const { losses, heldOut } = await train(adapted, {
        ...options,
        executor: reference(),
        accumulate,
        readEvery,
        heldOut: { data: rows, every: 5 },
        onStep: ({ loss }) => seen.push(loss),
      });
      expect(seen).toEqual(losses.map((l) => l.loss));
      return { losses, heldOut };
    };
    expect(await run(7)).toEqual(await run(1));
    expect(await run(4, 2)).toEqual(await run(1, 2));
    await expect(run(0)).rejects.toThrow('train: readEvery must be a whole number of at least 1, got 0');
  });

  test('trains all weights of a model', async () => {
    const result = await train(allWeights(tinyLlama()), { ...options, executor: reference(), steps: 6 });
    expect(result.losses.at(-1)!.loss).toBeLessThan(result.losses[0]!.loss);
  });

  test('the same seed gives the same losses; accumulating halves equals the whole batch', async () => {
    const run = async (batchSize: number, accumulate: number): Promise<number[]> => {
      const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
      const r = await train(adapted, { ...options, executor: reference(), steps: 4, batchSize, accumulate });
      return r.losses.map((l) => l.loss);
    };
    const whole = await run(2, 1);
    expect(await run(2, 1)).toEqual(whole);
    expect(await run(1, 2)).toEqual(whole.map((l) => expect.closeTo(l, 4)));
  });

  test('a loss that is no number ends the run with advice', async () => {
    const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
    await expect(train(adapted, { ...options, executor: reference(), schedule: () => 1e30 })).rejects.toMatchObject({
      code: 'diverged',
      message: expect.stringContaining('lower the learning rate'),
    });
  });

  test('a signal ends it after the step under way', async () => {
    const stop = new AbortController();
    const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
    const result = await train(adapted, {
      ...options,
      executor: reference(),
      signal: stop.signal,
      onStep: ({ step }) => step === 2 && stop.abort(),
    });
    expect(result.losses.length).toBe(2);
  });

  test('a run that was cut short goes on and ends where it would have ended', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'trainer-test-'));
    const checkpoint = { file: join(dir, 'run.safetensors'), every: 2 };
    const values = async (
      stopAt: number[],
      kept: typeof checkpoint | undefined,
    ): Promise<{ weights: number[]; losses: number[] }> => {
      for (let part = 0; ; part++) {
        const r = reference();
        const adapted = attach(tinyLlama(), [lora({ rank: 2, dropout: 0.1 })]);
        const stop = new AbortController();
        const result = await train(adapted, {
          ...options,
          steps: 6,
          executor: r,
          signal: stop.signal,
          onStep: ({ step }) => step === stopAt[part] && stop.abort(),
          ...(kept && { checkpoint: kept }),
        });
        if (result.losses.length < 6) continue;
        const weights: number[] = [];
        for (const p of adapted.params.values()) weights.push(...(await r.read(p)));
        return { weights, losses: result.losses.map((l) => l.loss) };
      }
    };
    const whole = await values([], undefined);
    const parts = await values([3, 5], checkpoint);
    // The reference executor keeps double precision between steps, the file keeps f32.
    expect(parts.losses).toEqual(whole.losses.map((l) => expect.closeTo(l, 5)));
    expect(parts.weights).toEqual(whole.weights.map((w) => expect.closeTo(w, 5)));
    const other = attach(tinyLlama(), [lora({ rank: 3 })]);
    await expect(train(other, { ...options, executor: reference(), checkpoint })).rejects.toMatchObject({
      code: 'state-mismatch',
      message: expect.stringContaining('lora_A.weight is f32 [2,8], the run takes f32 [3,8]'),
    });
    await rm(dir, { recursive: true });
  });

  test('dropout draws anew at every step', async () => {
    const adapted = attach(tinyLlama(), [lora({ rank: 2, dropout: 0.5 })]);
    const r = reference();
    for (const p of adapted.params.values())
      await r.write(
        p,
        Float32Array.from(await r.read(p), (_, i) => Math.sin(i)),
      );
    const step = await makeTrainStep(adapted, {
      executor: r,
      optimizer: adamw(),
    });
    const batch = makeBatch(rows.rows.slice(0, 1), 1, 6);
    const losses = [];
    for (let i = 0; i < 3; i++) await step.run(i, 0, [batch]);
    losses.push(...(await step.results()).map((r) => r.loss));
    expect(new Set(losses).size).toBe(3);
    step.close();
  });
});

test('a batch that no memory is made for is refused', () => {
  expect(() => trainingBatches(rows, 1e9, 0).next()).toThrow(
    /training batches: 1000000000 rows of \d+ tokens are more/,
  );
  expect(() => makeBatch([], 1e9, 8)).toThrow('makeBatch: 1000000000 rows of 8 tokens are more than a batch holds');
});

describe('progressLine', () => {
  const progress = (step: number): Progress => ({
    step,
    steps: 20,
    loss: 3.1412,
    metrics: {},
    gradNorm: 1,
    learningRate: 1e-3,
    tokensPerSecond: 1234.5,
    eta: 75,
    skipped: 0,
    heldOutLoss: 4,
    isLast: step === 20,
  });
  const written = (isTTY: boolean, columns = 200): string => {
    const text: string[] = [];
    const line = progressLine({
      stream: { isTTY, columns, write: (t) => text.push(t) },
      label: 'x',
      peakBytes: () => 2 ** 21,
      lines: 2,
    });
    for (let i = 1; i <= 20; i++) line(progress(i));
    return text.join('');
  };

  test('rewrites one line on a terminal, and writes a few plain ones elsewhere', () => {
    expect(written(true).split('\n').length).toBe(2);
    expect(written(false).split('\n')).toEqual([
      'x  step  1/20  loss 3.141  held out 4.000  1m 15s left  1,235 tokens/s  peak 2 MiB',
      'x  step 10/20  loss 3.141  held out 4.000  1m 15s left  1,235 tokens/s  peak 2 MiB',
      'x  step 20/20  loss 3.141  held out 4.000  done  1,235 tokens/s  peak 2 MiB',
      '',
    ]);
  });

  test('shows on a narrow terminal whole parts alone, the time left longer than the speed', () => {
    const last = (columns: number): string => written(true, columns).split('\r').at(-2)!.split('\u001b')[0]!;
    expect(last(80)).toBe('x  step 19/20  loss 3.141  held out 4.000  1m 15s left  1,235 tokens/s');
    expect(last(60)).toBe('x  step 19/20  loss 3.141  held out 4.000  1m 15s left');
    expect(last(50)).toBe('x  step 19/20  loss 3.141  held out 4.000');
    expect(last(10)).toBe('x  step 19/20');
  });

  test('shows a bar on a wide one', () => {
    const bars = written(true, 120).match(/▕[^▏]*▏/g)!;
    expect(bars).toHaveLength(20);
    expect(bars[0]).toBe(`▕█${' '.repeat(19)}▏`);
    expect(bars.at(-1)).toBe(`▕${'█'.repeat(20)}▏`);
    expect(shareBar(0.3, 5)).toBe('▕█▌   ▏');
    for (const line of written(true, 100).split('\r')) expect(line.split('\u001b')[0]!.length).toBeLessThan(100);
  });
});
