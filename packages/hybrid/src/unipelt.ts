import { type BottleneckOptions, pfeiffer } from '@peftjs/adapters';
import type { MethodFactory } from '@peftjs/core';
import { type AdapterHubLoraOptions, adapterHubGatedLora } from '@peftjs/lora';
import { type AdapterHubPrefixTuningOptions, adapterHubPrefixTuning } from '@peftjs/prompts';
import { defineRecipe } from './recipe.ts';

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
export const unipelt: MethodFactory<UnipeltOptions> = defineRecipe<UnipeltOptions>({
  name: 'unipelt',
  peftType: 'PEFTJS_UNIPELT',
  card: {
    about: 'a prefix, a bottleneck and low-rank updates, each with a gate',
    paper: adapterHubGatedLora.paper,
    learningRate: 1e-2,
  },
  parts: { prefix: adapterHubPrefixTuning, adapter: pfeiffer, lora: adapterHubGatedLora },
  defaults: { prefix: { length: 10, gating: true }, adapter: { gating: true }, lora: { alpha: 2 } },
});
