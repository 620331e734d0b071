import { constant, evaluate, mul, reference, softmax } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { meanOf, sequenceLogProb } from '../src/index.ts';
import { tinyLlama, tinyT5, tokens } from '../src/testing/index.ts';

const executor = reference();
const model = tinyLlama();
const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const labels = tokens([5, 2, 9, -100], [3, 12, 0, 7]);

describe('sequenceLogProb', () => {
  test('is the sum of log p of the labels, row by row', async () => {
    const outputs = { own: sequenceLogProb(model, ids, labels), p: softmax(model.logits(ids)) };
    const { own, p } = await evaluate(outputs, { executor });
    const given = [5, 2, 9, -100, 3, 12, 0, 7];
    const wanted = [0, 0];
    for (const [i, label] of given.entries())
      if (label >= 0) wanted[Math.floor(i / 4)]! += Math.log(p![i * model.config.vocabSize + label]!);
    expect([...own!]).toEqual(wanted.map((x) => expect.closeTo(x, 4)));
  });

  test('adds up to the loss, of an encoder-decoder too', async () => {
    const t5 = tinyT5();
    const inputs = { ids, decoderIds: tokens([0, 5, 2, 9], [0, 3, 12, 0]) };
    const { own, loss, theirs, other } = await evaluate(
      {
        own: sequenceLogProb(model, ids, labels),
        loss: mul(meanOf(model.loss({ ids, labels })), constant(Float32Array.of(7), [])),
        theirs: sequenceLogProb(t5, inputs, labels),
        other: t5.loss({ ...inputs, labels }).sum,
      },
      { executor },
    );
    expect(own![0]! + own![1]!).toBeCloseTo(-loss![0]!, 4);
    expect(theirs![0]! + theirs![1]!).toBeCloseTo(-other![0]!, 4);
  });

  test('refuses labels of another shape', () => {
    expect(() => sequenceLogProb(model, ids, tokens([5, 2], [3, 12]))).toThrow(
      /sequenceLogProb: .*labels must be i32 \[2,4\]/,
    );
  });
});
