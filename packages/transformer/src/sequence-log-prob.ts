import { logSoftmax, reshape, sum, type Tensor, takeAlongAxis } from '@peftjs/tensor';
import type { Inputs } from './states.ts';
import type { TaskModel } from './task-model.ts';
import { labelsOf } from './tasks/labels-of.ts';

/**
 * log p of each sequence's labels in nats, f32 [batch]: Σ log softmax(logits)[label] over its labelled positions, as preference losses such as DPO need
 * it. `ids`: i32 [batch, tokens], or all inputs of the pass; `labels` i32 [batch, tokens] are already shifted by one, as for `loss`: those outside of
 * the vocabulary, −100 among them, count nothing. Logits of all positions exist at once. Throws `bad-shape`, `bad-dtype`, and as
 * `outputs`.
 */
export const sequenceLogProb = (model: TaskModel<Tensor>, ids: Tensor | Inputs, labels: Tensor): Tensor => {
  const inputs = 'node' in ids ? { ids: ids as Tensor } : ids;
  const logits = model.outputs(inputs);
  const shape = logits.shape.slice(0, -1);
  const given = labelsOf('sequenceLogProb', { ...inputs, labels }, shape);
  const found = takeAlongAxis(logSoftmax(logits), reshape(given, [...shape, 1]), { axis: -1 });
  return sum(reshape(found, shape), { axes: [1] });
};
