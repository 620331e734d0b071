import { defineOp, type Op } from '../define-op.ts';
import { PeftError } from '../error.ts';
import { constant, type Tensor } from '../graph.ts';
import type { Spec } from '../shape.ts';
import { add } from './add.ts';
import { cast } from './cast.ts';
import { equal } from './equal.ts';
import { greaterEqual } from './greater-equal.ts';
import {
  checkHead,
  type HeadCrossEntropyAttrs,
  type HeadCrossEntropyOptions,
  type HeadInputs,
  type HeadOptional,
  type HeadScale,
  headSamples,
  headWeight,
  labelledRows,
} from './head-cross-entropy.ts';
import { less } from './less.ts';
import { matmul } from './matmul.ts';
import { mul } from './mul.ts';
import { reshape } from './reshape.ts';
import { scatterAdd } from './scatter-add.ts';
import { select } from './select.ts';
import { slice } from './slice.ts';
import { softmax } from './softmax.ts';
import { sub } from './sub.ts';

const whole = (value: number): Tensor => constant(Int32Array.of(value), []);

/** f32 [rows], 1 where a label counts. */
const countedRows = (labels: Tensor, vocabulary: number, ignoreIndex: number): Tensor =>
  mul(sub(1, equal(labels, whole(ignoreIndex))), mul(greaterEqual(labels, whole(0)), less(labels, whole(vocabulary))));

/** The gradient of a weighed sum of the losses by the weight, chunk by chunk: Σ w·(softmax − one-hot) ⊗ hidden. */
const weightGradient = (
  { hidden, weight, labels }: { readonly [K in HeadInputs[number]]: Tensor },
  dy: Tensor,
  { ignoreIndex, chunk }: HeadCrossEntropyAttrs,
): Tensor => {
  const [rows, dim] = hidden.shape as readonly [number, number];
  const vocabulary = weight.shape[0]!;
  const counted = countedRows(labels, vocabulary, ignoreIndex);
  const shares = reshape(select(counted, dy, constant(Float32Array.of(0), [])), [rows, 1]);
  const plain = cast(weight, { dtype: 'f32' });
  const right = scatterAdd(mul(hidden, shares), select(counted, labels, whole(-1)), { rows: vocabulary });
  let sum: Tensor = mul(right, -1);
  for (let start = 0; start < rows; start += chunk) {
    const part = (t: Tensor): Tensor => slice(t, { axis: 0, start, end: Math.min(rows, start + chunk) });
    const own = part(hidden);
    const dLogits = mul(softmax(matmul(own, plain, { transposeB: true })), part(shares));
    sum = add(sum, matmul(dLogits, own, { transposeA: true }));
  }
  return cast(reshape(sum, [vocabulary, dim]), { dtype: weight.dtype });
};

/** The record behind `headLabelLosses`: [losses, dLoss/dHidden of each row], where gradients are made in the forward pass, chunk by chunk, if they are read. */
export const headLabelLossesOp: Op<
  'head_label_losses',
  HeadInputs,
  HeadOptional,
  HeadCrossEntropyAttrs,
  readonly [Spec, Spec]
> = defineOp({
  name: 'head_label_losses',
  inputs: ['hidden', 'weight', 'labels'],
  optional: ['scale'],
  infer: (specs, attrs): readonly [Spec, Spec] => {
    checkHead('headLabelLosses', specs, attrs);
    return [{ shape: specs.labels.shape, dtype: 'f32' }, specs.hidden];
  },
  vjp: ({ hidden, weight, labels, scale, outs: [, dHidden], dys }, attrs) => {
    if (dys[1])
      throw new PeftError(
        'bad-program',
        'headLabelLosses: its gradients cannot be differentiated again; differentiate the losses only',
      );
    return {
      hidden: mul(reshape(dys[0]!, [-1, 1]), dHidden!),
      ...(!scale && { weight: weightGradient({ hidden, weight, labels }, dys[0]!, attrs) }),
    };
  },
  reference: (values, specs, { ignoreIndex }) => {
    const size = specs.weight.shape as [number, number];
    const dim = size[1];
    const weight = headWeight(values, dim);
    const losses = new Float64Array(values.labels.length);
    const dHidden = new Float64Array(values.hidden.length);
    for (const { row, loss, dLogits } of labelledRows({ ...values, weight }, size, ignoreIndex)) {
      losses[row] = loss;
      dLogits.forEach((dLogit, v) => {
        for (let d = 0; d < dim; d++) dHidden[row * dim + d]! += dLogit * weight[v * dim + d]!;
      });
    }
    return [losses, dHidden];
  },
  flops: ({ hidden, weight }, _, isUsed) =>
    hidden.shape[0]! * weight.shape[0]! * (2 * (1 + Number(isUsed(1))) * hidden.shape[1]! + 6),
  samples: headSamples,
});

/**
 * Cross-entropy of softmax(hidden · weightᵀ) against labels, of each row: [rows], 0 for rows without a label. hidden [rows, dim], weight [vocabulary, dim], f16 or codes with a `scale` too, as there, labels i32
 * [rows]; `ignoreIndex` and any label outside [0, vocabulary) mean none. The logits of all rows never exist, and rows without a label take no part. For losses that
 * weigh rows unlike; `headCrossEntropy` is the mean. Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const headLabelLosses = (
  hidden: Tensor,
  weight: Tensor,
  labels: Tensor,
  { ignoreIndex = -100, chunk = 1024, scale = null }: HeadCrossEntropyOptions & HeadScale = {},
): Tensor => headLabelLossesOp(hidden, weight, labels, scale, { ignoreIndex, chunk })[0];
