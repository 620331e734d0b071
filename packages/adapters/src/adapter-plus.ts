import type { MethodFactory } from '@peftjs/core';
import { defineBottleneck, isAt } from './define-bottleneck.ts';
import { type BottleneckOptions, bottleneckOptions } from './options.ts';
import type { Placement } from './placement.ts';

/** The place of `adapterPlus`. */
export const plusPlace: Placement = {
  sublayers: ['mlp'],
  parallel: false,
  originalLnBefore: true,
  originalLnAfter: false,
  residualBeforeLn: false,
};

/**
 * Adapter+: after the MLP of every layer, x ← x + s ⊙ (W_up f(W_down x + b_down) + b_up) of the residual stream x as the layer leaves it;
 * W_down [r, d] and W_up [d, r] from N(0, 0.01²) cut at ±0.02, biases 0, s [d] trained from 1. While training nothing is added to a sequence
 * with probability `stochasticDepth`. The base is frozen. Default: f = GELU, r = d / 96, probability 0.1, as `AdapterPlusConfig` of the
 * adapters library, whose files it has. Does not merge. Steitz & Roth, 2024. https://arxiv.org/abs/2406.06820
 */
export const adapterPlus: MethodFactory<BottleneckOptions> = defineBottleneck({
  name: 'adapterPlus',
  peftType: 'ADAPTER_PLUS',
  card: {
    about: 'a bottleneck after each layer, scaled by channel',
    paper: {
      authors: 'Steitz & Roth',
      year: 2024,
      title: 'Adapters Strike Back',
      url: 'https://arxiv.org/abs/2406.06820',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-3,
  },
  options: bottleneckOptions({
    reduction: 96,
    activation: 'gelu',
    scale: 'channel',
    init: 'houlsby',
    stochasticDepth: 0.1,
  }),
  placement: () => plusPlace,
  reads: isAt(plusPlace),
});
