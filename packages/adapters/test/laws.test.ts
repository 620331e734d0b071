import { describeMethod, describeMethods } from '@peftjs/testkit';
import type { CausalLM } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Values of bottlenecks of width 3, so many in every layer. */
const bottlenecks =
  (each: number, more = 0) =>
  ({ config: { layers, hiddenSize: d } }: CausalLM): number =>
    layers * each * (3 * d + 3 + d * 3 + d + more);

describeMethods(family, {
  houlsby: { options: { bottleneck: 3 }, identity: false, parameters: bottlenecks(2) },
  pfeiffer: { options: { bottleneck: 3, activation: 'tanh' }, identity: false, parameters: bottlenecks(1) },
  parallelAdapter: { options: { bottleneck: 3, scale: 'learned', dropout: 0.1 }, parameters: bottlenecks(1, 1) },
});

// Its gates are a mean over whole sequences.
describeMethod(family.pfeiffer, {
  options: { bottleneck: 3, gating: true },
  identity: false,
  causal: false,
  parameters: (model) => bottlenecks(1, model.config.hiddenSize + 1)(model),
});
