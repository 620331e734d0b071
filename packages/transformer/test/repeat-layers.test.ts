import { memoryFiles } from '@peftjs/io';
import { reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import { buildModel, generate, parameters, repeatLayers, saveModel } from '../src/index.ts';
import { tinyLlama, tinyT5 } from '../src/testing/index.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyConfig, tinyWeights } from './tiny.ts';

describe('repeatLayers', () => {
  const base = tinyLlama({ layers: 3 });
  const ranges = [
    [0, 2],
    [1, 3],
  ] as const;
  const deeper = repeatLayers(base, ranges);

  test('computes what a model of as many layers with the same weights does, and shares them', async () => {
    const source = tinyWeights();
    const like = [0, 1, 1, 2];
    const named = (name: string): string =>
      name.replace(/layers\.(\d+)/, (_, layer: string) => `layers.${like[Number(layer)]}`);
    const whole = buildModel(tinyConfig({ layers: 4 }), {
      ...source,
      load: (name, shape) => source.load(named(name), shape),
    });
    const repeated = repeatLayers(buildModel(tinyConfig({ layers: 3 }), source), ranges);
    const [wanted, got] = await Promise.all(
      [whole, repeated].map((model) => valuesOf(model.outputs({ ids: tokens([3, 1, 4, 1, 5]) }))),
    );
    expect(distance(got!, wanted!)).toBeLessThan(1e-6);
    expect([base.config.layers, deeper.config.layers, deeper.paths('kv').length]).toEqual([3, 4, 4]);
    expect([...parameters(deeper).values()].every((v) => [...parameters(base).values()].includes(v))).toBe(true);
  });

  test('keeps keys of every layer apart when it generates', async () => {
    const executor = reference();
    const prompt = Int32Array.of(3, 1, 4);
    const text = [...prompt];
    for (const _ of Array.from({ length: 4 })) {
      const logits = await valuesOf(deeper.logits(tokens(text), { lastOnly: true }));
      text.push([...logits].indexOf(Math.max(...logits)));
    }
    expect(await generate(deeper, { executor, prompt, maxTokens: 4 })).toEqual(text.slice(3));
  });

  test('says what is wrong', async () => {
    for (const odd of [[], [[0, 4]], [[1, 1]], [[0.5, 2]], [2, 3]])
      expect(() => repeatLayers(base, odd as never)).toThrow(/must be pairs \[start, end\] of layers/);
    expect(() => repeatLayers(deeper, ranges)).toThrow('repeated already');
    expect(() => repeatLayers(tinyT5(), ranges)).toThrow('for models of one tower');
    const around = new Map(base.paths('mlp').map((path) => [path, []]));
    expect(() => repeatLayers(base.with({ around: { mlp: around } }), ranges)).toThrow('around mlp');
    expect(
      await messageOf('not-mergeable', () => saveModel(deeper, memoryFiles(), { executor: reference() })),
    ).toContain('repeats layers of its base');
  });
});
