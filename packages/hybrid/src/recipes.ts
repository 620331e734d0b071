import { type BottleneckOptions, parallelAdapter, pfeiffer } from '@peftjs/adapters';
import type { MethodFactory } from '@peftjs/core';
import { type AdapterHubLoraOptions, adapterHubGatedLora } from '@peftjs/lora';
import { type AdapterHubPrefixTuningOptions, adapterHubPrefixTuning } from '@peftjs/prompts';
import { defineRecipe } from './define-recipe.ts';

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
export const mam: MethodFactory<MamOptions> = defineRecipe<MamOptions>(
  'mam',
  {
    about: 'a prefix in attention and a bottleneck beside the MLP',
    paper: {
      authors: 'He et al.',
      year: 2022,
      title: 'Towards a Unified View of Parameter-Efficient Transfer Learning',
      url: 'https://arxiv.org/abs/2110.04366',
    },
    learningRate: 3e-3,
  },
  { prefix: [adapterHubPrefixTuning, { bottleneck: 800 }], adapter: [parallelAdapter, {}] },
);

/** Options of `unipelt`: those of its parts. */
export interface UnipeltOptions {
  /** Default: 10 tokens, an MLP of width 512. */
  readonly prefix?: AdapterHubPrefixTuningOptions;
  /** Default: width d / 16. */
  readonly adapter?: BottleneckOptions;
  /** Default: rank 8 on queries and values. */
  readonly lora?: AdapterHubLoraOptions;
}

/**
 * UniPELT: prefix tuning, an adapter after the MLP and LoRA on queries and values at once, each weighed in every layer by a trained gate
 * G = mean over the sequence of σ(w·x + b); LoRA's gate takes the place of its scale. A gate sees the whole sequence, so in training what
 * comes later changes what came before; in generation it sees the prompt, then each new token by itself, as in the adapters library, whose
 * defaults and files these are. Does not merge. Throws `bad-option`. Mao et al., 2022. https://arxiv.org/abs/2110.07577
 */
export const unipelt: MethodFactory<UnipeltOptions> = defineRecipe<UnipeltOptions>(
  'unipelt',
  {
    about: 'a prefix, a bottleneck and low-rank updates, each with a gate',
    paper: adapterHubGatedLora.paper,
    learningRate: 1e-2,
    narrowRate: 3e-3,
  },
  {
    prefix: [adapterHubPrefixTuning, { length: 10, gating: true }],
    adapter: [pfeiffer, { gating: true }],
    lora: [adapterHubGatedLora, { alpha: 2 }],
  },
);
