import { attach, merge } from '@peftjs/core';
import { int4, int8, type QuantFormat, quantize, storedBytes } from '@peftjs/quant';
import { peqa } from '@peftjs/scaling';
import { evaluate, reference } from '@peftjs/tensor';
import { distance, tinyLlama, tokens } from '@peftjs/testkit';
import { expect, test } from 'vitest';

const executor = reference();
const ids = tokens([1, 5, 2, 9], [3, 3, 0, 7]);

const formats: readonly (readonly [string, QuantFormat, number])[] = [
  ['int8 by output', int8(), 0],
  ['int4 by group', int4({ blockSize: 8, zeroPoints: 'real' }), 8],
  ['int4 by group, with whole zero points', int4({ blockSize: 8 }), 8],
  ['int4 by group, without zero points', int4({ blockSize: 8, zeroPoints: false }), 8],
];

test.each(formats)('scales trained over %s merge into its scales', async (_, format, groupSize) => {
  const base = quantize(tinyLlama({ hiddenSize: 16, headDim: 8 }), format);
  const adapted = attach(base, [peqa({ groupSize })]);
  for (const param of adapted.params.values()) {
    const size = param.shape.reduce((a, b) => a * b);
    await executor.write(
      param,
      Float32Array.from({ length: size }, (__, i) => 1 + 0.3 * Math.sin(i)),
    );
  }
  const { model, errors } = await merge(adapted, { executor });
  for (const error of errors.values()) expect(error).toBeLessThan(1e-5);
  expect(storedBytes(model)).toBe(storedBytes(base));
  const { a, b } = await evaluate({ a: adapted.model.logits(ids), b: model.logits(ids) }, { executor });
  expect(distance(a!, b!)).toBeLessThan(1e-4);
});
