import { attach, merge, prepare } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { loraPrune, loraShear } from '@peftjs/lora';
import { evaluate, reference, type Tensor, type Variable } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { loadModel, saveModel, type TaskModel } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { sparsityAt } from '../src/lora-prune/sparsity.ts';
import { goingIn, periodsOf } from '../src/lora-shear/half-space.ts';
import { lossesWithout } from '../src/lora-shear/knowledge.ts';

const executor = reference();
const base = tinyLlama();
const reader = 'model.layers.0.mlp.down_proj';
const options = { rank: 2, ratio: 0.5, steps: 20, warmup: 0.1, final: 0.1, every: 2 };

const logits = async (model: TaskModel & { logits: (typeof base)['logits'] }): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(tokens([1, 5, 2, 9])) }, { executor }))['y'] as Float32Array;

describe('loraPrune', () => {
  test('lets more and more go, between the first and the last steps', () => {
    const shares = [0, 2, 6, 10, 18, 19].map((step) => sparsityAt(options, step));
    expect(shares).toEqual([
      0,
      0,
      expect.closeTo(0.5 * (1 - 0.75 ** 3)),
      expect.closeTo(0.5 * (1 - 0.5 ** 3)),
      0.5,
      0.5,
    ]);
  });

  test('takes the least important, which then stay gone, and leaves the last layer whole', async () => {
    const { decision, state, params } = attach(base, [loraPrune(options)]);
    const masks = [...state].filter(([name]) => name.endsWith('lora_mask'));
    expect(masks.map(([name]) => name)).toEqual(['model.layers.0.self_attn.o_proj.lora_mask', `${reader}.lora_mask`]);
    expect(params.has('model.layers.1.mlp.down_proj.lora_A')).toBe(true);
    expect([1, 3, 4, 7, 18, 19].filter((step) => decision!.due(step))).toEqual([7]);
    const [, mask] = masks[1]!;
    const count = mask.shape[0]!;
    const written = new Map<string, Float32Array>();
    /** Importance as given; masks as they were written last. */
    const run = async (step: number, importance: (i: number) => number): Promise<Float32Array> => {
      const read = async (v: typeof mask): Promise<Float32Array> =>
        v.node.name.endsWith('lora_mask')
          ? (written.get(v.node.name) ?? new Float32Array(v.shape[0]!).fill(1))
          : Float32Array.from({ length: v.shape[0]! }, (_, i) => importance(i));
      const write = async (v: typeof mask, data: unknown): Promise<void> =>
        void written.set(v.node.name, data as Float32Array);
      await decision!.run(step, { read, write } as never);
      return written.get(mask.node.name)!;
    };
    const first = await run(7, (i) => i);
    const gone = Math.floor(count * sparsityAt(options, 6));
    expect([...first]).toEqual(Array.from({ length: count }, (_, i) => (i < gone ? 0 : 1)));
    const second = await run(15, (i) => count - i);
    const more = Math.floor(count * sparsityAt(options, 14));
    expect(more).toBeGreaterThan(gone);
    expect(second.reduce((a, b) => a + b, 0)).toBe(count - more);
    expect([...second.subarray(0, gone)].every((v) => v === 0)).toBe(true);
    expect(second.at(-1)).toBe(0);
  });

  test('merges into a model without what is gone, which is saved and loaded as any', async () => {
    const adapted = attach(base, [loraPrune(options)]);
    await shake(adapted.params, { executor });
    const mask = adapted.state.get(`${reader}.lora_mask`)!;
    const stays = Float32Array.from({ length: mask.shape[0]! }, (_, i) => i % 2);
    const before = await logits(adapted.model);
    await executor.write(mask, stays);
    const pruned = await logits(adapted.model);
    expect(distance(pruned, before)).toBeGreaterThan(1e-3);
    const { model } = await merge(adapted, { executor });
    const { weight } = model.linears.get(reader)!.dense();
    const { w } = await evaluate({ w: weight }, { executor });
    expect(w!.every((v, at) => stays[at % stays.length] === 1 || v === 0)).toBe(true);
    const files = memoryFiles();
    await saveModel(model, files, { executor });
    expect(distance(await logits(await loadModel(files)), pruned)).toBeLessThan(1e-5);
  });

  test('refuses what it cannot prune by', () => {
    expect(() => attach(base, [loraPrune({ target: ['model.layers.1.mlp.up_proj'] })])).toThrow(/no layer of others/);
    expect(() => loraPrune({ warmup: 0.6, final: 0.5 })).toThrow(/leave no steps/);
  });
});

describe('loraShear', () => {
  const small = { rank: 2, ratio: 0.4, warmup: 0.1, final: 0.3, steps: 10, periods: 2 };

  test('finds by examples what stays whole, and asks for that', async () => {
    expect(() => attach(base, [loraShear(small)])).not.toThrow(); // A tenth of four groups is none.
    expect(() => attach(base, [loraShear({ ...small, unprunable: 0.3 })])).toThrow(/found by prepare; call it first/);
    const data = [1, 2].map((seed) => {
      const ids = Int32Array.from({ length: 8 }, (_, i) => (i * 7 + seed * 3) % 12);
      const shape = [2, 4];
      return { rows: 2, columns: { ids, labels: ids }, shapes: { ids: shape, labels: shape } };
    });
    const [method] = await prepare(base, [loraShear({ ...small, unprunable: 0.3 })], { executor, data });
    const masks = [...attach(base, [method!]).state.keys()].filter((name) => name.endsWith('lora_mask'));
    const readers = [0, 1].flatMap((i) => ['self_attn.o_proj', 'mlp.down_proj'].map((n) => `model.layers.${i}.${n}`));
    const groups = readers.map((reader) => ({ reader, count: 1, makers: [] }));
    const losses = await lossesWithout(base, groups, { executor, data });
    const whole = readers[losses.indexOf(Math.max(...losses))]!;
    expect(masks.sort()).toEqual(
      readers
        .filter((r) => r !== whole)
        .map((r) => `${r}.lora_mask`)
        .sort(),
    );
  });

  test('has its periods between the first and the last steps', () => {
    expect(periodsOf(small)).toEqual({ start: 1, periods: 2, duration: 3 });
    expect(periodsOf({ ...small, steps: 4, periods: 10 })).toEqual({ start: 1, periods: 2, duration: 1 });
    expect(() => loraShear({ warmup: 0.5, final: 0.5 })).toThrow(/leave no steps between them/);
  });

  test('shrinks what it chooses to nothing, and goes on from a state as it is', async () => {
    const adapted = attach(base, [loraShear({ ...small, unprunable: 0 })]);
    await shake(adapted.params, { executor });
    const { decision, state } = adapted;
    const between = {
      read: (v: Variable) => executor.read(v),
      write: (v: Variable, data: Float32Array) => executor.write(v, data),
      compute: (outputs: Readonly<Record<string, Tensor>>) => evaluate(outputs, { executor }),
    };
    const masks = [...state].filter(([name]) => name.endsWith('lora_mask')).map(([, v]) => v);
    const seen: number[][] = [];
    for (let step = 1; step <= 7; step++) {
      expect(decision!.due(step)).toBe(true);
      await decision!.run(step, between as never);
      const all = await Promise.all(masks.map((v) => executor.read(v)));
      const values = all.flatMap((mask) => [...mask]);
      seen.push([values.filter((v) => v === 0).length, values.filter((v) => v > 0 && v < 1).length]);
    }
    expect(decision!.due(8)).toBe(false);
    const total = masks.reduce((n, { shape }) => n + shape[0]!, 0);
    const [first, second] = [goingIn({ ...small }, total, 0), goingIn({ ...small }, total, 1)];
    expect(first + second).toBe(Math.floor(0.4 * total));
    // Chosen after step 1, half gone after 2, gone after 3; chosen again after 4.
    expect(seen).toEqual([
      [0, 0],
      [0, first],
      [first, 0],
      [first, 0],
      [first, second],
      [first + second, 0],
      [first + second, 0],
    ]);
    const { model } = await merge(adapted, { executor });
    const files = memoryFiles();
    await saveModel(model, files, { executor });
    expect(distance(await logits(await loadModel(files)), await logits(adapted.model))).toBeLessThan(1e-5);
  });
});
