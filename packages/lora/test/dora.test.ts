import { attach } from '@peftjs/core';
import { constant, evaluate, reference } from '@peftjs/tensor';
import { shake, tinyLlama, tokens } from '@peftjs/testkit';
import { denseLinear } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { dora, lora } from '../src/index.ts';

const path = 'model.layers.0.self_attn.q_proj';

describe('dora', () => {
  test('gives rows of the lengths that it trains', async () => {
    const r = reference();
    const { model, params } = attach(tinyLlama(), [dora({ rank: 2, alpha: 6 })]);
    await shake(params, { executor: r });
    const { weight } = await evaluate({ weight: model.linears.get(path)!.dense().weight }, { executor: r });
    const lengths = await r.read(params.get(`${path}.lora_magnitude_vector`)!);
    for (let row = 0; row < lengths.length; row++)
      expect(Math.hypot(...weight!.subarray(row * 8, row * 8 + 8)), `row ${row}`).toBeCloseTo(
        Math.abs(lengths[row]!),
        5,
      );
  });

  test('leaves a row of zeros a row of zeros', async () => {
    const r = reference();
    const base = tinyLlama();
    const { inDim, outDim } = base.linears.get(path)!;
    const weight = constant(
      Float32Array.from({ length: outDim * inDim }, (_, i) => (i < inDim ? 0 : Math.sin(i))),
      [outDim, inDim],
    );
    const odd = base.with({ linears: new Map([[path, denseLinear({ weight, bias: null })]]) });
    const ids = tokens([1, 5, 2]);
    const { before, after } = await evaluate(
      { before: odd.logits(ids), after: attach(odd, [dora({ rank: 2 })]).model.logits(ids) },
      { executor: r },
    );
    for (const [i, v] of after!.entries()) expect(v).toBeCloseTo(before![i]!, 5);
  });

  test('follows what an inner method makes of the weight', async () => {
    const r = reference();
    const { model, params } = attach(tinyLlama(), [lora({ rank: 2 }), dora({ rank: 2 })]);
    const length = async (): Promise<number> => {
      const { weight } = await evaluate({ weight: model.linears.get(path)!.dense().weight }, { executor: r });
      return Math.hypot(...weight!.subarray(0, 8));
    };
    const before = await length();
    await shake(new Map([...params].filter(([name]) => name.startsWith('lora1.'))), { executor: r });
    expect(await length()).toBeCloseTo(before, 5);
  });
});
