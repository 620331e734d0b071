import { type BottleneckOptions, parallelAdapter } from '@peftjs/adapters';
import type { MethodFactory } from '@peftjs/core';
import { type AdapterHubPrefixTuningOptions, adapterHubPrefixTuning } from '@peftjs/prompts';
import { defineRecipe } from './recipe.ts';

/** Options of `mam`: those of its parts. */
export interface MamOptions {
  /** Default: 30 tokens, an MLP of width 800. */
  readonly prefix?: AdapterHubPrefixTuningOptions;
  /** Default: width d / 2, scale 4. */
  readonly adapter?: BottleneckOptions;
}

/**
 * Mix-And-Match adapters: prefix tuning in attention, which needs little, and a scaled parallel adapter beside the MLP, which can use much.
 * Defaults and files are those of the adapters library. Does not merge. Throws `bad-option`.
 * He et al., 2022 (Towards a Unified View of Parameter-Efficient Transfer Learning). https://arxiv.org/abs/2110.04366
 */
export const mam: MethodFactory<MamOptions> = defineRecipe<MamOptions>({
  name: 'mam',
  peftType: 'PEFTJS_MAM',
  card: {
    about: 'a prefix in attention and a bottleneck beside the MLP',
    paper: {
      authors: 'He et al.',
      year: 2022,
      title: 'Towards a Unified View of Parameter-Efficient Transfer Learning',
      url: 'https://arxiv.org/abs/2110.04366',
    },
    learningRate: 3e-3,
  },
  parts: { prefix: adapterHubPrefixTuning, adapter: parallelAdapter },
  defaults: { prefix: { bottleneck: 800 }, adapter: {} },
});
