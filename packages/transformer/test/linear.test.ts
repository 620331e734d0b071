import { add, mul, normalValues, numberToHalf, randomSource, sizeOf, variable } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { type Dense, denseLinear, type Linear, viaDense } from '../src/index.ts';
import { describeLinear, linearLaws } from '../src/testing/index.ts';

const stored = (name: string, shape: readonly number[]) =>
  variable(name, shape, normalValues(sizeOf(shape), 0.4, randomSource(0, name)));

const values = (bias: boolean): Dense => ({ weight: stored('w', [5, 7]), bias: bias ? stored('b', [5]) : null });
const plain = denseLinear(values(true));
const halfWeight = variable(
  'half',
  [5, 7],
  Uint16Array.from({ length: 35 }, (_, i) => numberToHalf(Math.sin(i))),
  'f16',
);
const half = (bias: boolean): Linear => denseLinear({ ...values(bias), weight: halfWeight });
const scaled = (base: Linear): Linear =>
  viaDense(base, ({ weight, bias }) => ({ weight: mul(weight, 1.5), bias: bias && add(bias, 1) }));

describeLinear('a plain layer', { linear: () => plain });
describeLinear('a plain layer without bias', { linear: () => denseLinear(values(false)) });
describeLinear('a layer made of the values of another', { linear: () => scaled(plain) });
describeLinear('a layer whose weight is f16', { linear: () => half(true) });
describeLinear('such a layer without bias', { linear: () => half(false) });
describeLinear('a layer made of the values of such a one', { linear: () => scaled(half(true)) });

describe('the laws of a Linear catch', () => {
  test.each<[string, Linear, string, RegExp]>([
    [
      'other sizes',
      { ...plain, inDim: 6 },
      'has the sizes that it says',
      /dense\(\) is of shapes 5,7; 5, its sizes say 5,6; 5/,
    ],
    [
      'another scale',
      { ...plain, apply: (x, call) => mul(plain.apply(x, call), 2) },
      'applies what dense() says',
      /apply\(x\) against/,
    ],
    [
      'a dropped bias',
      { ...plain, encode: ({ weight }) => denseLinear({ weight, bias: null }) },
      'stores again what it stored, and keeps its bias or none',
      /encode drops the bias/,
    ],
    [
      'a drift',
      { ...plain, encode: (v) => scaled(denseLinear(v)) },
      'stores again what it stored, and keeps its bias or none',
      /35 of 35 values in \[5, 7\] differ/,
    ],
    [
      'any width',
      { ...plain, apply: (_, call) => plain.apply(stored('x', [2, 7]), call) },
      'refuses inputs of another width',
      /takes x of width 8/,
    ],
  ])('%s', async (_, linear, law, says) => {
    const found = linearLaws('it', { linear: () => linear }).find(({ name }) => name === law);
    await expect(found?.check()).rejects.toThrow(says);
  });
});
