import { attach, merge } from '@peftjs/core';
import { constant, evaluate, mul, reference, type Tensor } from '@peftjs/tensor';
import { meanOf } from '@peftjs/transformer';
import { distance, shake, tinyGpt2, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { type BottleneckOptions, houlsby, ladderSide, parallelAdapter, pfeiffer } from '../src/index.ts';

const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const values = async (t: Tensor, r = reference()): Promise<Float32Array> =>
  (await evaluate({ t }, { executor: r }))['t'] as Float32Array;

const shapes = (options: BottleneckOptions): string[] =>
  [...attach(tinyLlama(), [houlsby(options)]).params].map(([name, { shape }]) => `${name} [${shape}]`);

describe('bottleneck adapters', () => {
  test('are named and placed as in the adapters library', () => {
    expect(shapes({ bottleneck: 3, leaveOut: [0] })).toEqual([
      'model.layers.1.attention_adapters.adapters.default.adapter_down.0.weight [3,8]',
      'model.layers.1.attention_adapters.adapters.default.adapter_down.0.bias [3]',
      'model.layers.1.attention_adapters.adapters.default.adapter_up.weight [8,3]',
      'model.layers.1.attention_adapters.adapters.default.adapter_up.bias [8]',
      'model.layers.1.output_adapters.adapters.default.adapter_down.0.weight [3,8]',
      'model.layers.1.output_adapters.adapters.default.adapter_down.0.bias [3]',
      'model.layers.1.output_adapters.adapters.default.adapter_up.weight [8,3]',
      'model.layers.1.output_adapters.adapters.default.adapter_up.bias [8]',
    ]);
    expect([...attach(tinyGpt2(), [pfeiffer()]).params.keys()][0]).toBe(
      'transformer.h.0.output_adapters.adapters.default.adapter_down.0.weight',
    );
  });

  test.each([
    [{ reduction: 2 }, 4],
    [{ reduction: 3 }, 2],
    [{ reduction: 100 }, 1],
    [{ reduction: 0.5 }, 16],
    // 8 / 1.6 rounds to 5, but 1.6 is a little more than 8 / 5: Python's 8 // 1.6 is 4.
    [{ reduction: 1.6 }, 4],
    [{ bottleneck: 5 }, 5],
    [{}, 1],
  ])('%o gives a width of %i', (options, width) => {
    expect(shapes(options)[0]).toContain(`[${width},8]`);
  });

  test('a width in a file is a reduction that gives it', () => {
    const base = tinyLlama();
    for (let bottleneck = 1; bottleneck <= 20; bottleneck++) {
      const again = pfeiffer.fromConfig(pfeiffer({ bottleneck }).config(base));
      expect([...attach(base, [again]).params.values()][0]!.shape).toEqual([bottleneck, 8]);
    }
  });

  test('names of activations are those of the adapters library', () => {
    const base = tinyLlama();
    for (const [ours, there] of [
      ['silu', 'swish'],
      ['gelu-tanh', 'gelu_new'],
      ['relu', 'relu'],
    ] as const) {
      const config = pfeiffer({ activation: ours }).config(base);
      expect(config['non_linearity']).toBe(there);
      expect(pfeiffer.optionsOf(config, base).activation).toBe(ours);
    }
  });

  test('each reads its own file and not the others', () => {
    const base = tinyLlama();
    const factories = [houlsby, pfeiffer, parallelAdapter];
    for (const one of factories)
      for (const other of factories) {
        const { peft_type: _, ...config } = one().config(base);
        expect(other.reads(config)).toBe(one === other);
      }
    expect(pfeiffer.reads({ architecture: 'lora' })).toBe(false);
  });

  test('a trained scale multiplies what is added', async () => {
    const r = reference();
    const base = tinyLlama();
    const changed = async (value: number): Promise<Float32Array> => {
      const { model, params } = attach(base, [parallelAdapter({ scale: 'channel' })]);
      await shake(params, { executor: r });
      for (const [name, p] of params)
        if (name.endsWith('scaling')) {
          expect(p.shape).toEqual([8]);
          await r.write(p, new Float32Array(8).fill(value));
        }
      return values(model.logits(ids), r);
    };
    const plain = await values(base.logits(ids));
    expect(distance(await changed(0), plain)).toBe(0);
    expect(distance(await changed(1), plain)).toBeGreaterThan(0.01);
  });

  test('a gate is a mean over the tokens', async () => {
    const r = reference();
    const { model, params } = attach(tinyLlama(), [pfeiffer({ gating: true })]);
    await shake(params, { executor: r });
    const row = async (last: number): Promise<Float32Array> =>
      (await values(model.logits(tokens([1, 5, 2, last])), r)).slice(0, 13);
    expect(distance(await row(9), await row(4))).toBeGreaterThan(1e-5);
    expect([...params.keys()].filter((name) => name.includes('layers.0') && name.includes('gate'))).toHaveLength(2);
  });

  test('say what is wrong', async () => {
    const base = tinyLlama();
    expect(() => houlsby({ reduction: 2, bottleneck: 3 })).toThrow('give either reduction or bottleneck, not both');
    expect(() => houlsby({ scale: 'big' as never, leaveOut: [-1] })).toThrow(
      'scale must be a finite number, learned or channel, got "big"; leaveOut must be a list of numbers of layers',
    );
    expect(() => attach(base, [pfeiffer({ leaveOut: [0, 1] })])).toThrow('no layer is left');
    const config = pfeiffer().config(base);
    expect(() => pfeiffer.fromConfig({ ...config, phm_layer: true, ln_before: true, inv_adapter: 'nice' })).toThrow(
      'ln_before = true, phm_layer = true, inv_adapter = "nice"',
    );
    expect(() => pfeiffer.fromConfig({ ...config, reduction_factor: { default: 2 } })).toThrow(
      'reduction_factor must be',
    );
    await expect(merge(attach(base, [houlsby()]), { executor: reference() })).rejects.toMatchObject({
      code: 'not-mergeable',
    });
  });
});

describe('ladderSide', () => {
  test('has a layer beside every so-manieth, the last one always', () => {
    const names = (every: number): string[] => [
      ...attach(tinyLlama({ layers: 5 }), [ladderSide({ every })]).params.keys(),
    ];
    expect(names(2).filter((name) => name.includes('gates'))).toHaveLength(3);
    expect(names(4).filter((name) => name.includes('q_proj'))).toHaveLength(2);
    expect(names(9).filter((name) => name.includes('.downs.') && name.endsWith('weight'))).toHaveLength(1);
  });

  test('with its gates shut for the base it reads the embeddings alone', async () => {
    const r = reference();
    const base = tinyGpt2();
    const { model, params } = attach(base, [ladderSide({ reduction: 2 })]);
    await shake(params, { executor: r });
    const before = await values(model.logits(ids), r);
    for (const [name, p] of params) if (name.includes('gates')) await r.write(p, Float32Array.of(100));
    const shut = await values(model.logits(ids), r);
    expect(distance(shut, before)).toBeGreaterThan(1e-3);
    for (const [name, p] of params)
      if (name.includes('.downs.')) await r.write(p, (await r.read(p)).map((v) => 3 * v) as Float32Array);
    expect(distance(await values(model.logits(ids), r), shut)).toBe(0);
  });

  test('recomputing blocks changes nothing', async () => {
    const r = reference();
    const { model, params } = attach(tinyLlama(), [ladderSide({ reduction: 2 })]);
    await shake(params, { executor: r });
    const labels = tokens([5, 2, 9, 1], [3, 12, 0, 4]);
    const loss = async (checkpoint: boolean): Promise<Float32Array> =>
      values(mul(meanOf(model.loss({ ids, labels }, { recompute: checkpoint })), constant(Float32Array.of(1), [])), r);
    expect(distance(await loss(true), await loss(false))).toBe(0);
  });

  test('needs the head', () => {
    expect(() => ladderSide({ every: 0 })).toThrow('every must be a whole number of at least 1');
  });
});
