import { grad } from '@peftjs/autograd';
import { buildProgram, evaluate, input, reference, variable } from '@peftjs/tensor';
import { expect, test } from 'vitest';
import { denseLinear, viaDense } from '../src/index.ts';
import { headLoss } from '../src/tasks/head-loss.ts';

const [width, classes] = [3, 5];
const wave = (size: number, step: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(i * step));
const plain = denseLinear({ weight: variable('weight', [classes, width], wave(classes * width, 2.1)), bias: null });
// It may do anything in `apply`, so it goes chunk by chunk.
const adapted = viaDense(plain, (values) => values);

const outputsOf = (head: typeof plain, batch: number, tokens: number) => {
  const features = input('features', [batch, tokens, width]);
  const loss = headLoss(head, features, input('labels', [batch, tokens], 'i32'), -100, undefined as never);
  return { sum: loss.sum, weight: loss.weight, gradient: grad(loss.sum, [features])[0]! };
};

test.each([
  [1, 70],
  [20, 130],
])('an adapted head gives what the plain one gives: %d x %d', async (batch, tokens) => {
  const feeds = {
    features: wave(batch * tokens * width, 1.3),
    labels: Int32Array.from({ length: batch * tokens }, (_, i) => (i % 9 === 0 ? -100 : i % classes)),
  };
  const [wanted, got] = [
    await evaluate(outputsOf(plain, batch, tokens), { executor: reference(), feeds }),
    await evaluate(outputsOf(adapted, batch, tokens), { executor: reference(), feeds }),
  ];
  expect(got['weight']).toEqual(wanted['weight']);
  expect(got['sum']![0]).toBeCloseTo(wanted['sum']![0]!, 3);
  got['gradient']!.forEach((value, i) => void expect(value).toBeCloseTo(wanted['gradient']![i]!, 5));
});

test('of many rows the graph does not grow with the rows', () => {
  const nodes = (batch: number, tokens: number): number =>
    buildProgram({ outputs: outputsOf(adapted, batch, tokens) }).nodes.length;
  expect(nodes(64, 2048)).toBe(nodes(64, 1024));
  expect(nodes(100_000, 1024)).toBe(nodes(64, 1024));
});
