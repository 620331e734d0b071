import {
  type AdapterConfig,
  type Chosen,
  count,
  defineMethod,
  flag,
  type MethodCard,
  type MethodFactory,
  meanGate,
  number,
  type Patch,
  rate,
  type Scope,
} from '@peftjs/core';
import type { Linear, Model } from '@peftjs/transformer';
import { type AdapterHubLoraOptions, adaptedLayer, type Place, placeOptions, placesOf } from './projections.ts';

const attach = (model: Model, scope: Scope, options: Chosen<AdapterHubLoraOptions>, gated: boolean): Patch => {
  const wrap =
    (place: Place) =>
    (base: Linear): Linear => {
      const own = scope.at(`${place.path}.loras.default`);
      const gate = gated ? meanGate(own, 'gate', base.inDim, place.starts.length) : null;
      return adaptedLayer(base, own, place, options, gate);
    };
  return { linear: new Map(placesOf(model, options).map((place) => [place.path, wrap(place)])) };
};

/** Settings of the library's files that are computed only with these values. */
export const computes: Readonly<Record<string, readonly (boolean | string)[]>> = {
  dtype: ['float32'],
};

/** Settings that its files have beside the options. */
export const configOf = (architecture: string, gated: boolean): AdapterConfig => ({
  architecture,
  composition_mode: 'add',
  dtype: null,
  init_weights: 'lora',
  init_weights_seed: null,
  use_gating: gated,
  vera_b: null,
  vera_d: null,
});

const define = (name: string, gated: boolean, card: MethodCard): MethodFactory<AdapterHubLoraOptions> =>
  defineMethod<AdapterHubLoraOptions>({
    name,
    formula: {
      merges: !gated,
      options: {
        ...placeOptions,
        rank: count('r', 8),
        alpha: number('alpha', 8),
        dropout: rate('dropout', 0),
        dora: flag('use_dora', false),
      },
      attach: (model, scope, options) => attach(model, scope, options, gated),
    },
    files: {
      peftType: gated ? 'PEFTJS_ADAPTER_HUB_GATED_LORA' : 'PEFTJS_ADAPTER_HUB_LORA',
      layout: 'adapter-hub',
      ...(!gated && { hubTable: 'adapterHubProjections' }),
      reads: (config) =>
        config['architecture'] === 'lora' &&
        config['composition_mode'] === 'add' &&
        (config['vera_d'] ?? null) === null &&
        (config['use_gating'] ?? false) === gated,
      computes,
      config: () => configOf('lora', gated),
    },
    card,
  });

/**
 * LoRA as the adapters library has it: y = Wx + (alpha/r)·B·A·dropout(x) on an attention's queries and values, each with its own rank r also
 * where one layer holds them all, as in GPT-2, and on layers of the MLP where that is asked for. Files are that library's. Merges. Throws `bad-option`.
 * Hu et al., 2021. https://arxiv.org/abs/2106.09685
 */
export const adapterHubLora: MethodFactory<AdapterHubLoraOptions> = define('adapterHubLora', false, {
  about: 'low-rank updates of queries and values',
  paper: {
    authors: 'Hu et al.',
    year: 2021,
    title: 'LoRA: Low-Rank Adaptation of Large Language Models',
    url: 'https://arxiv.org/abs/2106.09685',
  },
  learningRate: 1e-3,
  narrowRate: 1e-2,
});

/**
 * The same with a gate in place of the scale: y = Wx + G·B·A·dropout(x), G = mean over the sequence of σ(g·x + c), one for each projection;
 * see `meanGate`. A part of UniPELT. Files are those of the adapters library. Does not merge. Throws `bad-option`.
 * Mao et al., 2022. https://arxiv.org/abs/2110.07577
 */
export const adapterHubGatedLora: MethodFactory<AdapterHubLoraOptions> = define('adapterHubGatedLora', true, {
  about: 'low-rank updates of queries and values, each with a gate',
  paper: {
    authors: 'Mao et al.',
    year: 2022,
    title: 'UniPELT: A Unified Framework for Parameter-Efficient Language Model Tuning',
    url: 'https://arxiv.org/abs/2110.07577',
  },
  learningRate: 1e-3,
  narrowRate: 1e-2,
});
