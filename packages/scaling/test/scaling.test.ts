import { attach, merge } from '@peftjs/core';
import { evaluate, reference, sizeOf, type Variable } from '@peftjs/tensor';
import { distance, shake, tinyGpt2, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { ia3, ssf } from '../src/index.ts';

const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const shapes = (params: ReadonlyMap<string, Variable>): string[] =>
  [...params].filter(([name]) => !name.includes('.1.')).map(([name, p]) => `${name} [${p.shape}]`);

describe('ia3', () => {
  test('scales what Hugging Face PEFT scales: the MLP at its input, the rest at the output', () => {
    expect(shapes(attach(tinyLlama(), [ia3()]).params)).toEqual([
      'model.layers.0.self_attn.k_proj.ia3_l [12,1]',
      'model.layers.0.self_attn.v_proj.ia3_l [12,1]',
      'model.layers.0.mlp.down_proj.ia3_l [1,10]',
    ]);
    expect(shapes(attach(tinyGpt2(), [ia3()]).params)).toEqual([
      'transformer.h.0.attn.c_attn.ia3_l [24,1]',
      'transformer.h.0.mlp.c_proj.ia3_l [1,10]',
    ]);
    expect(shapes(attach(tinyLlama(), [ia3({ feedforward: [], target: 'down_proj' })]).params)).toEqual([
      'model.layers.0.mlp.down_proj.ia3_l [8,1]',
    ]);
  });

  test('merges to the bit where layers have biases: of the output they are scaled too, of the input not', async () => {
    const executor = reference();
    const base = tinyGpt2();
    for (const [path, layer] of base.linears) {
      const { bias } = layer.dense();
      if (bias)
        await executor.write(
          bias as Variable,
          Float32Array.from({ length: layer.outDim }, (_, i) => Math.sin(i + path.length)),
        );
    }
    const adapted = attach(base, [ia3()]);
    await shake(adapted.params, { executor });
    const { model } = await merge(adapted, { executor });
    const [c, p] = ['transformer.h.0.attn.c_attn', 'transformer.h.0.mlp.c_proj'];
    const of = async (path: string): Promise<Record<string, ArrayLike<number>>> => {
      const [before, after] = [base, model].map((m) => m.linears.get(path)!.dense());
      return evaluate({ w0: before!.weight, b0: before!.bias!, w: after!.weight, b: after!.bias! }, { executor });
    };
    const scaleOf = (path: string): Promise<ArrayLike<number>> => executor.read(adapted.params.get(`${path}.ia3_l`)!);
    const [attn, l] = [await of(c), await scaleOf(c)];
    expect(Array.from(attn['w']!)).toEqual(Array.from(attn['w0']!, (v, i) => Math.fround(v * l[Math.floor(i / 8)]!)));
    expect(Array.from(attn['b']!)).toEqual(Array.from(attn['b0']!, (v, i) => Math.fround(v * l[i]!)));
    const [mlp, m] = [await of(p), await scaleOf(p)];
    expect(Array.from(mlp['w']!)).toEqual(Array.from(mlp['w0']!, (v, i) => Math.fround(v * m[i % 10]!)));
    expect(Array.from(mlp['b']!)).toEqual(Array.from(mlp['b0']!));
  });

  test('refuses a feedforward layer that is not targeted', () => {
    expect(() => attach(tinyLlama(), [ia3({ target: 'k_proj', feedforward: 'down_proj' })])).toThrow(
      "ia3: feedforward: target 'down_proj' matches no layer; there are model.layers.*.self_attn.k_proj",
    );
    expect(shapes(attach(tinyLlama(), [ia3({ target: 'k_proj' })]).params)).toHaveLength(1);
    expect(() => ia3({ target: 3 } as never)).toThrow('ia3: target must be a name, a list of names');
  });
});

describe('ssf', () => {
  test('begins near the base, and with noise 0 at it', async () => {
    const executor = reference();
    const base = tinyGpt2();
    const logits = async (noise: number): Promise<ArrayLike<number>> =>
      (await evaluate({ y: attach(base, [ssf({ noise })]).model.logits(ids) }, { executor }))['y']!;
    const { y } = await evaluate({ y: base.logits(ids) }, { executor });
    expect(distance(await logits(0), y!)).toBe(0);
    expect(distance(await logits(0.02), y!)).toBeGreaterThan(1e-4);
    expect(() => ssf({ noise: -1 })).toThrow('ssf: noise must be a number of at least 0, got -1');
  });

  test('γ is drawn around 1 and β around 0', async () => {
    const executor = reference();
    const { params } = attach(tinyLlama({ hiddenSize: 64 }), [ssf()]);
    const all = async (name: string): Promise<number[]> => {
      const values: number[] = [];
      for (const [key, p] of params) if (key.endsWith(name)) values.push(...(await executor.read(p)));
      return values;
    };
    for (const [name, mean] of [
      ['ssf_scale', 1],
      ['ssf_shift', 0],
    ] as const) {
      const values = await all(name);
      const average = values.reduce((a, b) => a + b, 0) / values.length;
      const std = Math.sqrt(values.reduce((a, b) => a + (b - average) ** 2, 0) / values.length);
      expect(average).toBeCloseTo(mean, 2);
      expect(std).toBeCloseTo(0.02, 2);
    }
  });

  test('leaves norms and embedding out where told, and gives a layer without a bias one when merged', async () => {
    const executor = reference();
    const linear = attach(tinyLlama(), [ssf({ norms: false, embedding: false })]);
    expect([...linear.params.keys()].every((name) => /_proj\.ssf_s/.test(name))).toBe(true);
    const { model } = await merge(linear, { executor });
    expect(model.linears.get('model.layers.0.mlp.up_proj')!.dense().bias!.shape).toEqual([10]);
    const all = attach(tinyLlama(), [ssf()]).params;
    const counted = [...all.values()].reduce((n, p) => n + sizeOf(p.shape), 0);
    expect(counted - [...linear.params.values()].reduce((n, p) => n + sizeOf(p.shape), 0)).toBe(2 * 8 * (5 + 1));
  });
});
