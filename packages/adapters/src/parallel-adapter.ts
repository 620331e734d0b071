import type { MethodFactory } from '@peftjs/core';
import { defineBottleneck, isAt } from './define-bottleneck.ts';
import { type BottleneckOptions, bottleneckOptions } from './options.ts';
import type { Placement } from './placement.ts';

/** The place of `parallelAdapter`. */
export const besideMlp: Placement = {
  sublayers: ['mlp'],
  parallel: true,
  originalLnBefore: false,
  originalLnAfter: true,
  residualBeforeLn: true,
};

/**
 * An adapter beside the MLP of every layer: y ← y + s·(W_up f(W_down h + b_down) + b_up) with h the residual stream before the MLP's norm,
 * W_down [r, d] from U(−1/√d, 1/√d), W_up [d, r] and biases 0, so the identity before training. The base is frozen. Default: f = ReLU,
 * r = d / 2, s = 4, as `par_bn` of the adapters library, whose files it has; `scale: 'learned'` is its `scaled_par_bn`. Does not merge.
 * He et al., 2021. https://arxiv.org/abs/2110.04366
 */
export const parallelAdapter: MethodFactory<BottleneckOptions> = defineBottleneck({
  name: 'parallelAdapter',
  peftType: 'PARALLEL_ADAPTER',
  card: {
    about: 'a bottleneck beside the MLP',
    paper: {
      authors: 'He et al.',
      year: 2021,
      title: 'Towards a Unified View of Parameter-Efficient Transfer Learning',
      url: 'https://arxiv.org/abs/2110.04366',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-3,
  },
  options: bottleneckOptions({ reduction: 2, activation: 'relu', scale: 4, init: 'mam' }),
  placement: () => besideMlp,
  reads: isAt(besideMlp),
});
