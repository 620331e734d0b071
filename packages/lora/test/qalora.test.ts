import { attach, merge } from '@peftjs/core';
import { int2, int3, int4, type QuantFormat, quantize, storedBytes } from '@peftjs/quant';
import { evaluate, reference } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import { lora, qalora } from '../src/index.ts';

const executor = reference();
const ids = tokens([1, 5, 2, 9], [3, 3, 0, 7]);
const target = ['q_proj', 'gate_proj', 'down_proj'];
const baseIn = (format: QuantFormat) =>
  quantize(tinyLlama({ hiddenSize: 32, intermediateSize: 48, headDim: 8 }), format, target);

describe.each([
  ['int4', int4, 32],
  ['int3', int3, 16],
  ['int2', int2, 16],
] as const)('merged into %s', (_, format, groupSize) => {
  const adaptedOver = async (base: ReturnType<typeof baseIn>, method: typeof qalora | typeof lora = qalora) => {
    const options = { target: ['q_proj', 'gate_proj'], rank: 3, alpha: 9 };
    const adapted = attach(base, [method === qalora ? qalora({ ...options, groupSize }) : lora(options)]);
    await shake(adapted.params, { executor, std: 0.02 });
    return adapted;
  };

  test('with real zero points it is the adapted model, and the codes are those of the base', async () => {
    const base = baseIn(format({ blockSize: 8, zeroPoints: 'real' }));
    const adapted = await adaptedOver(base);
    const { model, errors, undone } = await merge(adapted, { executor });
    expect(errors.size).toBe(4);
    for (const error of errors.values()) expect(error).toBeLessThan(1e-4);
    expect(undone).toEqual([]);
    expect(storedBytes(model, target)).toBe(storedBytes(base, target));
    const { a, b, c } = await evaluate(
      { a: model.logits(ids), b: adapted.model.logits(ids), c: base.logits(ids) },
      { executor },
    );
    expect(distance(a!, b!)).toBeLessThan(1e-4);
    expect(distance(b!, c!)).toBeGreaterThan(1e-2);
    // Merged twice, still in the same places.
    const again = await merge(await adaptedOver(model), { executor });
    for (const error of again.errors.values()) expect(error).toBeLessThan(1e-4);
  });

  test('with whole ones most of a small change is lost, and told', async () => {
    const whole = await merge(await adaptedOver(baseIn(format({ blockSize: 8 }))), { executor });
    const real = await merge(await adaptedOver(baseIn(format({ blockSize: 8, zeroPoints: 'real' }))), { executor });
    for (const [path, error] of whole.errors) expect(error).toBeGreaterThan(100 * real.errors.get(path)!);
  });

  test('a change within groups is told too, and costs no more than with whole ones', async () => {
    const whole = await merge(await adaptedOver(baseIn(format({ blockSize: 8 })), lora), { executor });
    const real = await merge(await adaptedOver(baseIn(format({ blockSize: 8, zeroPoints: 'real' })), lora), {
      executor,
    });
    for (const [path, error] of real.errors) {
      expect(error).toBeGreaterThan(0.01);
      expect(error).toBeLessThan(1.01 * whole.errors.get(path)!);
    }
  });
});
