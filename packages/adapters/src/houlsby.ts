import type { MethodFactory } from '@peftjs/core';
import { type BottleneckKind, defineBottleneck, isAt } from './define-bottleneck.ts';
import { type BottleneckOptions, bottleneckOptions } from './options.ts';
import type { Placement } from './placement.ts';

/** The place of `houlsby`. */
export const houlsbyPlace: Placement = {
  sublayers: ['attn', 'mlp'],
  parallel: false,
  originalLnBefore: false,
  originalLnAfter: true,
  residualBeforeLn: true,
};

/** The kind of adapter that `houlsby` is, for methods made of such adapters. */
export const houlsbyKind: BottleneckKind = {
  name: 'houlsby',
  peftType: 'HOULSBY',
  card: {
    about: 'a bottleneck after the attention and after the MLP',
    paper: {
      authors: 'Houlsby et al.',
      year: 2019,
      title: 'Parameter-Efficient Transfer Learning for NLP',
      url: 'https://arxiv.org/abs/1902.00751',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
  options: bottleneckOptions({ reduction: 16, activation: 'silu', scale: 1, init: 'normal' }),
  placement: () => houlsbyPlace,
  reads: isAt(houlsbyPlace),
};

/**
 * The first adapter: after the attention and after the MLP of every layer, before the residual sum, y ← y + s·(W_up f(W_down y + b_down) +
 * b_up); W_down [r, d] and W_up [d, r] from N(0, 0.02²), biases 0, so nearly the identity. The base is frozen. Default: f = SiLU,
 * r = d / 16, s = 1, as `double_seq_bn` of the adapters library, whose files it has. Does not merge.
 * Houlsby et al., 2019. https://arxiv.org/abs/1902.00751
 */
export const houlsby: MethodFactory<BottleneckOptions> = defineBottleneck(houlsbyKind);
