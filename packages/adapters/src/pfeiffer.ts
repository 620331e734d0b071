import type { MethodFactory } from '@peftjs/core';
import { type BottleneckKind, defineBottleneck, isAt } from './define-bottleneck.ts';
import { type BottleneckOptions, bottleneckOptions } from './options.ts';
import type { Placement } from './placement.ts';

/** The place of `pfeiffer`. */
export const pfeifferPlace: Placement = {
  sublayers: ['mlp'],
  parallel: false,
  originalLnBefore: true,
  originalLnAfter: true,
  residualBeforeLn: true,
};

/** The kind of adapter that `pfeiffer` is, for methods made of such adapters. */
export const pfeifferKind: BottleneckKind = {
  name: 'pfeiffer',
  peftType: 'PFEIFFER',
  card: {
    about: 'a bottleneck after the MLP',
    paper: {
      authors: 'Pfeiffer et al.',
      year: 2020,
      title: 'AdapterFusion: Non-Destructive Task Composition for Transfer Learning',
      url: 'https://arxiv.org/abs/2005.00247',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
  options: bottleneckOptions({ reduction: 16, activation: 'relu', scale: 1, init: 'normal' }),
  placement: () => pfeifferPlace,
  reads: isAt(pfeifferPlace),
};

/**
 * One adapter per layer, after the MLP: y ← y + s·(W_up f(W_down (y + h) + b_down) + b_up) with h the residual stream that y is added to,
 * W_down [r, d] and W_up [d, r] from N(0, 0.02²), biases 0, so nearly the identity. The base is frozen. Default: f = ReLU, r = d / 16,
 * s = 1, as `seq_bn` of the adapters library, whose files it has. Does not merge. Pfeiffer et al., 2020.
 * https://arxiv.org/abs/2005.00247
 */
export const pfeiffer: MethodFactory<BottleneckOptions> = defineBottleneck(pfeifferKind);
