import { argmax, cast, constant, mul, PeftError, reshape, select, sum, type Tensor } from '@peftjs/tensor';
import { crossEntropies } from './head-loss.ts';
import { labelsOf } from './labels-of.ts';
import type { Head, Task } from './task.ts';

/** Options of `multipleChoice`. */
export interface MultipleChoiceOptions {
  /** How many rows in a row are the choices of one question. */
  readonly choices: number;
}

/**
 * Choosing one of several answers. Each row is a question with one of its choices; the rows of a question follow one another, so shuffle questions, not
 * rows. Outputs: logits [questions, choices]. Loss: cross-entropy in nats of the right choice, summed over questions; `labels` i32
 * [rows], 1 at the right choice and 0 at the others; a question without any 1 does not count. The head is trained beside every method,
 * and saved with its adapter. Throws `bad-option`, and `bad-shape` for rows that are no whole questions.
 */
export const multipleChoice = ({ choices }: MultipleChoiceOptions): Task<Tensor> => {
  const name = 'multipleChoice';
  if (!Number.isSafeInteger(choices) || choices < 2)
    throw new PeftError('bad-option', `${name}: choices must be a whole number of at least 2, got ${choices}`);
  const logitsOf = ({ layer, features, call }: Head): Tensor => {
    const rows = features.shape[0]!;
    if (rows % choices !== 0)
      throw new PeftError(
        'bad-shape',
        `${name}: got ${rows} rows, which are no whole questions of ${choices} choices; give a batch of whole questions`,
      );
    return reshape(layer.apply(features, call), [rows / choices, choices]);
  };
  return {
    name,
    type: null,
    head: name,
    labels: ['LABEL_0'],
    columns: { labels: { shape: [], dtype: 'i32', below: 2 } },
    predicts: 'choices',
    choices,
    outputs: logitsOf,
    loss: (head, inputs) => {
      const logits = logitsOf(head);
      const [questions] = logits.shape as readonly [number, number];
      const given = labelsOf(name, inputs, [questions * choices]);
      const right = reshape(cast(given, { dtype: 'f32' }), [questions, choices]);
      const counted = cast(cast(sum(right, { axes: [1] }), { dtype: 'i32' }), { dtype: 'f32' });
      const zero = constant(Float32Array.of(0), []);
      const losses = select(counted, crossEntropies(logits, argmax(right, { axis: 1 })), zero);
      return { sum: sum(mul(losses, counted)), weight: sum(counted) };
    },
  };
};
