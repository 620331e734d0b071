import { add, constant, mul, reshape, select, slice, sum, type Tensor } from '@peftjs/tensor';
import type { Loss } from '../loss.ts';
import type { Inputs } from '../states.ts';
import { countedLabels, crossEntropies } from './head-loss.ts';
import { labelsOf } from './labels-of.ts';
import type { Head, Task } from './task.ts';

const name = 'questionAnswering';

/** Cross-entropy over the tokens of each text: scores [batch, tokens], places i32 [batch]; those outside of the text do not count. */
const placeLoss = (scores: Tensor, places: Tensor): Loss => {
  const [, tokens] = scores.shape as readonly [number, number];
  const counted = countedLabels(places, tokens, -100);
  const safe = select(counted, places, constant(Int32Array.of(0), []));
  const zero = constant(Float32Array.of(0), []);
  return { sum: sum(select(counted, crossEntropies(scores, safe), zero)), weight: sum(counted) };
};

const lossOf = ({ layer, features, call }: Head, inputs: Inputs): Loss => {
  const logits = layer.apply(features, call);
  const [batch, tokens] = logits.shape as readonly [number, number, number];
  const [first, last] = ['startPositions', 'endPositions'].map((column, i) =>
    placeLoss(
      reshape(slice(logits, { axis: 2, start: i, end: i + 1 }), [batch, tokens]),
      labelsOf(name, inputs, [batch], 'i32', column),
    ),
  ) as [Loss, Loss];
  return { sum: mul(add(first.sum, last.sum), 0.5), weight: mul(add(first.weight, last.weight), 0.5) };
};

/**
 * Finding the answer to a question in a text. Outputs: logits [batch, tokens, 2], of a token being the first and the last of the answer. Loss:
 * half the cross-entropies in nats of `startPositions` and `endPositions` i32 [batch] over the tokens, summed over texts; a place outside of
 * the text, as of an answer that was cut off, does not count. The head is trained beside every method, and saved with its adapter.
 */
export const questionAnswering = (): Task<Tensor> => ({
  name,
  type: 'QUESTION_ANS',
  head: name,
  labels: ['LABEL_0', 'LABEL_1'],
  columns: { startPositions: { shape: [], dtype: 'i32' }, endPositions: { shape: [], dtype: 'i32' } },
  predicts: 'spans',
  outputs: ({ layer, features, call }) => layer.apply(features, call),
  loss: lossOf,
});
