// src/focal-classifier.ts

import type { Task } from 'peftjs';
import {
  add,
  constant,
  equal,
  exp,
  gather,
  logSoftmax,
  mul,
  neg,
  reshape,
  select,
  sequenceClassifier,
  sub,
  sum,
} from 'peftjs';

const whole = (...values: readonly number[]) =>
  constant(Int32Array.from(values), values.length === 1 ? [] : [values.length]);

/**
 * Classifying texts by focal loss with γ = 2: `labels` i32 [batch], −100 for none. Lin et al., 2017. https://arxiv.org/abs/1708.02002
 */
export const focalClassifier = (options: { readonly labels: number }): Task => ({
  ...sequenceClassifier(options),
  name: 'focalClassifier',
  loss: ({ layer, features, call }, inputs) => {
    const logits = layer.apply(features, call); // [batch, labels]
    const [rows, classes] = logits.shape as readonly [number, number];
    const labels = inputs['labels']!;
    const counts = sub(1, equal(labels, whole(-100))); // 1 where a label counts
    const starts = constant(
      Int32Array.from({ length: rows }, (_, i) => i * classes),
      [rows],
    );
    const right = add(starts, select(counts, labels, whole(0)));
    const logP = gather(reshape(logSoftmax(logits), [-1]), right); // [batch]
    const miss = sub(1, exp(logP));
    return { sum: neg(sum(mul(counts, mul(mul(miss, miss), logP)))), weight: sum(counts) };
  },
});
