import {
  count,
  defineMethod,
  type Gate,
  type MethodFactory,
  normal,
  ones,
  requireOneTower,
  type Scope,
} from '@peftjs/core';
import { matmul, mul, sigmoid, slice, type Tensor } from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';
import { rowsName } from './encoder.ts';
import { meanOfTokens, tokenRows } from './over-tokens.ts';
import { activations, type Gates, ownAttentions, prefixInFront, prefixWidth } from './prefix.ts';
import { prefixTuning } from './prefix-tuning.ts';
import { initOf, type RowInit, rowInit } from './vocabulary.ts';

/** Options of `apt`. */
export interface AptOptions {
  /** Rows m in front of every layer's keys and values. Default 20. */
  readonly length?: number;
  /** First values of the rows, as in `prefixTuning` without a bottleneck. Default `vocabulary`. */
  readonly init?: RowInit;
}

/** The row that stands for a sequence: its first token where all see all, as [CLS] does, else the mean of its tokens: [batch, 1, d]. */
const sentenceOf = (x: Tensor, call: Call): Tensor =>
  call.tower.attends === 'all' ? slice(tokenRows(x, call), { axis: 1, start: 0, end: 1 }) : meanOfTokens(x, call);

/** λ·σ(W·h), h of the sequence's first pass: [batch, 1, m]. */
const gateOf =
  (length: number, hiddenSize: number) =>
  (own: Scope): Gate => {
    const weight = own.param('apt_gate.weight', [length, hiddenSize], normal(0.02));
    const scale = own.param('apt_scale', [1], ones);
    return (x, call) => {
      const name = `${call.path}.apt`;
      const shape = [call.pass.batch, 1, length];
      const known = call.pass.recall(name, shape);
      const open = known ?? sigmoid(matmul(sentenceOf(x, call), weight, { transposeB: true }));
      if (!known) call.pass.keep(name, open);
      return mul(open, scale);
    };
  };

/**
 * APT, adaptive prefix tuning: in every layer l Attn(q, [λα ⊙ P_k; k], [λα ⊙ P_v; v]) with m trained keys and values in front, each weighed by a gate of the sequence, α = σ(W_l·h) [m], and all by a
 * trained number λ_l, 1 at the start. h is what the layer's attention reads at the first token of an encoder ([CLS] in the paper), and in a decoder, which the paper has not, the mean over the text that it is first given. W [m, d] is from N(0, 0.02²).
 * Files have a layout of our own. Does not merge. Throws `bad-option`, also when attached.
 * Zhang, Tan, Xu, Wang, Huang & Huang, 2023. https://arxiv.org/abs/2305.15212. Read were its abstract and introduction; the first values are ours.
 */
export const apt: MethodFactory<AptOptions> = defineMethod<AptOptions>({
  name: 'apt',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 20),
      init: { ...rowInit, key: null },
    },
    attach: (model, scope, { length, init }) => {
      requireOneTower(model, 'apt');
      const own = ownAttentions(model, 'apt');
      const first = initOf(init, model, length, (ids) => activations(model, own, ids));
      const rows = scope.param(rowsName, [length, prefixWidth(own)], first);
      const gateAt = gateOf(length, model.main.hiddenSize);
      const alike = (attention: Scope): Gates => {
        const gate = gateAt(attention);
        return { keys: gate, values: gate };
      };
      return { ...prefixInFront(own, scope, rows, { gateAt: alike }), positionShift: length };
    },
  },
  files: { peftType: 'PEFTJS_APT' },
  card: {
    about: "keys and values in front of every layer's, behind gates of the sequence",
    paper: {
      authors: 'Zhang et al.',
      year: 2023,
      title: 'Towards Adaptive Prefix Tuning for Parameter-Efficient Language Model Fine-tuning',
      url: 'https://arxiv.org/abs/2305.15212',
    },
    learningRate: prefixTuning.learningRate,
    narrowRate: 0.1,
  },
});
