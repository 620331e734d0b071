import { type Adapted, attach, hotSwap, merge } from '@peftjs/core';
import { int4, int8, type QuantFormat, quantize, storedBytes } from '@peftjs/quant';
import { peqa } from '@peftjs/scaling';
import { compile, evaluate, reference } from '@peftjs/tensor';
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

/** Trained scales: from 1 by up to 0.3. */
const trained = async (adapted: Adapted, shift: number): Promise<Adapted> => {
  for (const param of adapted.params.values()) {
    const size = param.shape.reduce((a, b) => a * b);
    const values = Float32Array.from({ length: size }, (_, i) => 1 + 0.3 * Math.sin(i + shift));
    await executor.write(param, values);
  }
  return adapted;
};

test('a task is its scales: swapped in a program over one quantised base, the other task is there', async () => {
  const base = quantize(tinyLlama({ hiddenSize: 16, headDim: 8 }), int4({ blockSize: 8 }));
  const [first, second] = [
    await trained(attach(base, [peqa({ groupSize: 8 })]), 0),
    await trained(attach(base, [peqa({ groupSize: 8 })]), 2),
  ];
  const program = await compile({ outputs: { y: first.model.logits(ids) } }, { executor });
  const { before } = await evaluate({ before: first.model.logits(ids) }, { executor });
  const { wanted } = await evaluate({ wanted: second.model.logits(ids) }, { executor });
  await hotSwap(first, second, { executor });
  const { y } = await program.run({});
  program.close();
  expect(y).toEqual(wanted);
  expect(distance(y!, before!)).toBeGreaterThan(1e-2);
});

test.each(formats)('scales trained over %s merge into its scales', async (_, format, groupSize) => {
  const base = quantize(tinyLlama({ hiddenSize: 16, headDim: 8 }), format);
  const adapted = await trained(attach(base, [peqa({ groupSize })]), 0);
  const { model, errors } = await merge(adapted, { executor });
  for (const error of errors.values()) expect(error).toBeLessThan(1e-5);
  expect(storedBytes(model)).toBe(storedBytes(base));
  const { a, b } = await evaluate({ a: adapted.model.logits(ids), b: model.logits(ids) }, { executor });
  expect(distance(a!, b!)).toBeLessThan(1e-4);
});
