import { attach, merge } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { loraPrune } from '@peftjs/lora';
import { evaluate, reference } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { loadModel, saveModel, type TaskModel } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { sparsityAt } from '../src/lora-prune/sparsity.ts';

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
