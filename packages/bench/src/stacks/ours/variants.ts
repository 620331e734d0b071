import type { Objective, Views } from '@peftjs/core';
import {
  add,
  cast,
  constant,
  equal,
  gather,
  logSoftmax,
  matmul,
  mul,
  neg,
  reshape,
  softmax,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Trainable } from '@peftjs/trainer';
import { type CausalLM, type Inputs, type Loss, meanOf } from '@peftjs/transformer';
import type { Variant } from '../../tasks/task.ts';
import { type Rule, rewrite } from './rewrite.ts';

const number = (value: number): Tensor => constant(Float32Array.of(value), []);

/** Attention of the textbook: all scores and their softmax in memory. Causal, without mask and offset. */
const attentionWithScores: Rule = ([q, k, v], attrs) => {
  const [batch, heads, tokens, headDim] = q!.shape as [number, number, number, number];
  const groups = k!.shape[1]!;
  const together = (x: Tensor, width: number): Tensor => reshape(x, [batch, groups, (heads / groups) * tokens, width]);
  const mask = constant(
    Float32Array.from({ length: tokens * tokens }, (_, i) => (i % tokens > Math.floor(i / tokens) ? -1e9 : 0)),
    [tokens, tokens],
  );
  const raw = matmul(together(q!, headDim), k!, { transposeB: true });
  const scaled = mul(reshape(raw, [batch, heads, tokens, tokens]), (attrs as { readonly scale: number }).scale);
  const weights = together(softmax(add(scaled, mask)), tokens);
  return reshape(matmul(weights, v!), [batch, heads, tokens, headDim]);
};

/** Cross-entropy by way of the logits of all positions. */
const wholeHeadLoss = (model: CausalLM, { ids, labels }: Inputs): Loss => {
  const logProbs = reshape(logSoftmax(model.logits(ids!)), [-1]);
  const flat = reshape(labels!, [-1]);
  const counted = sub(number(1), equal(flat, constant(Int32Array.of(-100), [])));
  const safe = mul(flat, cast(counted, { dtype: 'i32' }));
  const rows = flat.shape[0]!;
  const starts = constant(
    Int32Array.from({ length: rows }, (_, i) => i * model.config.vocabSize),
    [rows],
  );
  return { sum: neg(sum(mul(gather(logProbs, add(starts, safe)), counted))), weight: sum(counted) };
};

/** The loss of a model, made in another way; the same number. */
export const variantLoss = (model: CausalLM, inputs: Inputs, { wholeHead, scores, recompute }: Variant): Loss => {
  const loss = wholeHead ? wholeHeadLoss(model, inputs) : model.loss(inputs, { recompute: recompute ?? false });
  return scores ? { ...loss, mean: rewrite(meanOf(loss), { attention: attentionWithScores }) } : loss;
};

/** A target whose loss is made in another way. */
export const variantOf = (target: Trainable, variant: Variant): Trainable => ({
  ...target,
  loss: (inputs, seed) =>
    target.loss(inputs, seed, {
      objective: ((views: Views) => variantLoss(views.train() as CausalLM, inputs, variant)) as Objective<never>,
    }),
});
