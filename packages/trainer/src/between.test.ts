import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach, type Between, type Decision, makeBetween } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { add, type Executor, matmul, reference, type Variable, variable } from '@peftjs/tensor';
import { openExecutors, tinyLlama } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import { linear, type Progress, packTokens, type Trainable, train } from './index.ts';

const rows = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});

/** LoRA whose products go into a stored sum every few steps, after which it starts anew: what ReLoRA and PeriodicLoRA do between steps. */
const restarted = (every: number): { target: Trainable; sums: Variable[] } => {
  const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
  const pairs = [...adapted.params].flatMap(([name, a]) =>
    name.endsWith('lora_A.weight') ? [[a, adapted.params.get(name.replace('lora_A', 'lora_B'))!] as const] : [],
  );
  const sums = pairs.map(([a, b], i) =>
    variable(`sum ${i}`, [b.shape[0]!, a.shape[1]!], () => new Float32Array(b.shape[0]! * a.shape[1]!)),
  );
  const decision: Decision = {
    due: (step) => step % every === 0,
    run: async (_, { compute, write, resetOptimizer, rewarm }) => {
      const products = Object.fromEntries(pairs.map(([a, b], i) => [`${i}`, add(sums[i]!, matmul(b, a))]));
      const values = await compute(products);
      for (const [i, [, b]] of pairs.entries()) {
        await write(sums[i]!, values[i]!);
        await write(b, new Float32Array(b.shape[0]! * b.shape[1]!));
      }
      await resetOptimizer(pairs.flat());
      rewarm(2);
    },
  };
  const state = new Map([...adapted.state, ...sums.map((s) => [s.node.name, s] as const)]);
  return { target: { ...adapted, state, decision }, sums };
};

const options = { data: rows, steps: 8, batchSize: 2, schedule: linear({ learningRate: 0.05, steps: 8, floor: 0.5 }) };

describe.each<[string, () => Promise<Executor>]>([['reference', async () => reference()], ...openExecutors()])(
  'on %s a decision between steps',
  (_, open) => {
    test('moves a product into a sum, and starts optimiser and schedule anew', async () => {
      const executor = await open();
      const { target, sums } = restarted(3);
      const rates: number[] = [];
      let before: Float32Array | undefined;
      const { decision } = target;
      const watched: Decision = {
        due: decision!.due,
        run: async (step, between: Between) => {
          const b = [...target.params.values()][1]!;
          before = (await between.read(b)) as Float32Array;
          await decision!.run(step, between);
          expect([...(await between.read(b))].every((x) => x === 0)).toBe(true);
        },
      };
      await train(
        { ...target, decision: watched },
        { ...options, executor, onStep: (p) => rates.push(p.learningRate) },
      );
      expect(before!.some((x) => x !== 0)).toBe(true);
      for (const sum of sums) expect([...(await executor.read(sum))].some((x) => x !== 0)).toBe(true);
      const plain = Array.from({ length: 8 }, (__, i) => options.schedule(i));
      const shares = [1, 1, 1, 0.5, 1, 1, 0.5, 1];
      expect(rates).toEqual(plain.map((rate, i) => expect.closeTo(rate * shares[i]!, 9)));
    });
  },
);

describe('a restart', () => {
  test('is part of the checkpoint: a run that goes on ends as if it had not stopped', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'between-test-'));
    const run = async (stops: readonly number[], file?: string) => {
      for (let part = 0; ; part++) {
        const { target } = restarted(3);
        const stop = new AbortController();
        const executor = reference();
        const seen: Progress[] = [];
        const onStep = (p: Progress): void => {
          seen.push(p);
          if (p.step === stops[part]) stop.abort();
        };
        const more = file ? { checkpoint: { file, every: 100 } } : {};
        const { losses } = await train(target, { ...options, executor, onStep, signal: stop.signal, ...more });
        if (losses.length === 8) return losses;
      }
    };
    const whole = await run([]);
    const parts = await run([3, 4], join(dir, 'run.safetensors'));
    expect(parts.map((l) => l.learningRate)).toEqual(whole.map((l) => l.learningRate));
    expect(parts.map((l) => l.loss)).toEqual(whole.map((l) => expect.closeTo(l.loss, 5)));
    await rm(dir, { recursive: true });
  });

  test('keeps the share of a state that is asked for, and refuses what it cannot do', async () => {
    const executor = reference();
    const [p, m, codes] = [
      variable('p', [5], new Float32Array(5)),
      variable('m', [5], Float32Array.of(1, -5, 3, -2, 4)),
      variable('codes', [5], new Uint8Array(5), 'u8'),
    ];
    const between = (state: readonly Variable[]): Between =>
      makeBetween({ executor, params: [p], state: new Map([[p, state]]), rewarm: () => {} });
    await between([m]).resetOptimizer([p], 0.5);
    expect([...(await executor.read(m))]).toEqual([0, -5, 0, 0, 4]);
    await between([m]).resetOptimizer([p]);
    expect([...(await executor.read(m))]).toEqual([0, 0, 0, 0, 0]);
    await expect(between([codes]).resetOptimizer([p], 0.5)).rejects.toThrow('codes holds u8 codes');
    await expect(between([m]).resetOptimizer([m])).rejects.toThrow('not trained: m');
    await expect(between([m]).resetOptimizer([p], 1)).rejects.toMatchObject({ code: 'bad-option' });
    expect(() => between([m]).rewarm(0.5)).toThrow('rewarm: steps must be a whole number of at least 1, got 0.5');
  });
});

test.each([Number.NaN, -1, Number.POSITIVE_INFINITY])(
  'a schedule that gives %s ends the run before that step',
  async (bad) => {
    const target = attach(tinyLlama(), [lora({ rank: 2 })]);
    const executor = reference();
    const schedule = (step: number): number => (step === 2 ? bad : 0.01);
    await expect(train(target, { ...options, executor, schedule })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining(`the schedule gives ${bad} for step 2`),
    });
    for (const p of target.params.values())
      expect([...(await executor.read(p))].every(Number.isFinite), p.node.name).toBe(true);
  },
);
