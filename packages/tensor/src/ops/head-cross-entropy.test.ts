import { describe, expect, it } from 'vitest';
import { constant, type Tensor } from '../graph.ts';
import { apart, drawn, known, valuesOf } from '../testing/known.ts';
import { cast } from './cast.ts';
import { headCrossEntropy, headCrossEntropyOp } from './head-cross-entropy.ts';
import { logSoftmax } from './log-softmax.ts';
import { matmul } from './matmul.ts';

const labelsOf = (...labels: number[]): Tensor => constant(Int32Array.from(labels), [labels.length]);
const hidden = drawn('hidden', [4, 3]);
const weight = drawn('weight', [5, 3]);

describe('headCrossEntropy', () => {
  it('is the mean of −logSoftmax at the labels, over rows that have one', async () => {
    const logits = await valuesOf(logSoftmax(matmul(hidden, weight, { transposeB: true })));
    const wanted = -(logits[0 * 5 + 2]! + logits[2 * 5 + 0]! + logits[3 * 5 + 4]!) / 3;
    expect((await valuesOf(headCrossEntropy(hidden, weight, labelsOf(2, -100, 0, 4))))[0]).toBeCloseTo(wanted, 6);
  });

  it('is log of the vocabulary where logits are equal', async () => {
    const loss = headCrossEntropy(hidden, known([5, 3], Array(15).fill(0.5)), labelsOf(0, 1, 2, 3));
    expect((await valuesOf(loss))[0]).toBeCloseTo(Math.log(5), 6);
  });

  it('takes ignoreIndex and labels outside the vocabulary for none', async () => {
    const some = await valuesOf(headCrossEntropy(hidden, weight, labelsOf(2, -100, -100, 4)));
    expect(await valuesOf(headCrossEntropy(hidden, weight, labelsOf(2, 5, -1, 4)))).toEqual(some);
    expect(await valuesOf(headCrossEntropy(hidden, weight, labelsOf(2, 0, 0, 4), { ignoreIndex: 0 }))).toEqual(some);
  });

  it('is 0 with gradients of 0 where no row has a label', async () => {
    const [loss, dHidden, dWeight] = headCrossEntropyOp(hidden, weight, labelsOf(-100, -100, -100, -100), null, {
      ignoreIndex: -100,
      chunk: 2,
    });
    expect(await valuesOf(loss)).toEqual([0]);
    expect([...(await valuesOf(dHidden)), ...(await valuesOf(dWeight))]).toEqual(Array(27).fill(0));
  });

  it('gives rows without a label no gradient', async () => {
    const [, dHidden] = headCrossEntropyOp(hidden, weight, labelsOf(2, -100, 0, 4), null, {
      ignoreIndex: -100,
      chunk: 2,
    });
    const rows = await valuesOf(dHidden);
    expect(rows.slice(3, 6)).toEqual([0, 0, 0]);
    expect(apart(rows.slice(0, 3), [0, 0, 0])).toBeGreaterThan(0.01);
  });

  it('reads a weight of codes as their values, which get no gradient', async () => {
    const codes = constant(
      Uint8Array.from({ length: 15 }, (_, i) => (i * 71) % 256),
      [5, 3],
    );
    const scale = known([5, 1], [0.01, 0.02, 0.003, 0.01, 0.05]);
    const [labels, values] = [labelsOf(2, -100, 0, 4), await valuesOf(cast(codes, { dtype: 'f32' }))];
    const plain = known(
      [5, 3],
      values.map((code, i) => (code < 128 ? code : code - 256) * [0.01, 0.02, 0.003, 0.01, 0.05][Math.floor(i / 3)]!),
    );
    const coded = headCrossEntropy(hidden, codes, labels, { scale });
    const wanted = headCrossEntropy(hidden, plain, labels);
    expect(apart(await valuesOf(coded), await valuesOf(wanted))).toBeLessThan(1e-6);
    expect(() => headCrossEntropy(hidden, codes, labels)).toThrow('weight');
    expect(() => headCrossEntropy(hidden, codes, labels, { scale: known([5], [1, 1, 1, 1, 1]) })).toThrow(
      'a weight of codes [vocabulary, dim] has a scale for each row, [vocabulary, 1]',
    );
  });

  it('names what does not fit', () => {
    expect(() => headCrossEntropy(hidden, drawn('w', [5, 4]), labelsOf(0, 0, 0, 0))).toThrow(
      'headCrossEntropy: got 4x3 f32, 5x4 f32, 4 i32; these must be hidden [rows, dim], weight [vocabulary, dim] and labels [rows]',
    );
    expect(() => headCrossEntropy(hidden, weight, known([4], [0, 0, 0, 0]))).toThrow(
      'labels are f32; they must be i32',
    );
    expect(() => headCrossEntropy(hidden, weight, labelsOf(0, 0, 0, 0), { chunk: 0 })).toThrow(
      'got chunk 0; it must be a whole number of at least 1',
    );
  });
});
