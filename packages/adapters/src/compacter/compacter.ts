import {
  type AdapterConfig,
  type Chosen,
  count,
  flag,
  type MethodCard,
  type MethodFactory,
  type OptionTable,
  positive,
} from '@peftjs/core';
import { type BottleneckKind, defineBottleneck, type SharedOptions } from '../define-bottleneck.ts';
import { homeOf } from '../home.ts';
import { houlsbyPlace } from '../houlsby.ts';
import { bottleneckOptions } from '../options.ts';
import { pfeifferPlace } from '../pfeiffer.ts';
import { type Placement, placementIn, samePlace } from '../placement.ts';
import { type PhmOptions, phm, phmRule } from './phm.ts';

/** Options of `compacter` and `compacterPlusPlus`, beside those of all bottleneck adapters. */
export interface CompacterOptions extends SharedOptions, Partial<PhmOptions> {
  /** Whether all adapters have the same A_i. Default true. */
  readonly sharedRule?: boolean;
}

/** Whether a configuration's adapters are placed so, and made of Kronecker products. */
export const isPhmAt =
  (at: Placement) =>
  (config: AdapterConfig): boolean =>
    config['phm_layer'] === true && !config['inv_adapter'] && samePlace(placementIn(config), at);

const { init: _, ...shared } = bottleneckOptions({ reduction: 32, activation: 'gelu', scale: 1, init: 'normal' });

const options: OptionTable<CompacterOptions> = {
  ...shared,
  dimension: count('phm_dim', 4),
  rank: count('phm_rank', 1),
  factorized: flag('factorized_phm_W', true),
  sharedRule: flag('shared_phm_rule', true),
  learnRule: flag('learn_phm', true),
  ruleStd: positive('phm_init_range', 0.01),
};

const card: Omit<MethodCard, 'about'> = {
  paper: {
    authors: 'Mahabadi, Henderson & Ruder',
    year: 2021,
    title: 'Compacter: Efficient Low-Rank Hypercomplex Adapter Layers',
    url: 'https://arxiv.org/abs/2106.04647',
  },
  learningRate: 3e-3,
  narrowRate: 1e-2,
};

const kind = (name: string, peftType: string, about: string, place: Placement): BottleneckKind<CompacterOptions> => ({
  name,
  peftType,
  card: { ...card, about },
  options,
  placement: () => place,
  reads: isPhmAt(place),
  computes: { phm_layer: [true], factorized_phm_rule: [false], shared_W_phm: [false], phm_bias: [true] },
  hubTable: 'adapterHubPrefix',
  fields: { phm_layer: true, factorized_phm_rule: false, shared_W_phm: false, phm_bias: true },
  project: (model, scope, chosen: Chosen<CompacterOptions>) => {
    const rule = chosen.sharedRule ? phmRule(homeOf(model, scope).at('shared_parameters.default'), chosen) : null;
    return phm(name, chosen, rule);
  },
});

/**
 * Compacter: `houlsby`'s adapters, whose matrices are sums of n Kronecker products, W = Σ_i A_i ⊗ (s_i t_iᵀ); A_i [n, n] from N(0, 0.01²),
 * the same for all adapters, s_i [d/n, k] and t_i [r/n, k] of each from Glorot's uniform distribution, biases 0. Default: n = 4, k = 1,
 * f = GELU, r = d / 32, as `CompacterConfig` of the adapters library, whose files it has; first values are those of the authors' code.
 * Does not merge. Throws `bad-option` where n does not divide d and r.
 * Mahabadi, Henderson & Ruder, 2021. https://arxiv.org/abs/2106.04647
 */
export const compacter: MethodFactory<CompacterOptions> = defineBottleneck(
  kind('compacter', 'COMPACTER', 'Kronecker bottlenecks after the attention and the MLP', houlsbyPlace),
);

/** Compacter++: the same after the MLP alone, in the place of `pfeiffer`. Mahabadi, Henderson & Ruder, 2021. https://arxiv.org/abs/2106.04647 */
export const compacterPlusPlus: MethodFactory<CompacterOptions> = defineBottleneck(
  kind('compacterPlusPlus', 'COMPACTER_PLUS_PLUS', 'Kronecker bottlenecks after the MLP', pfeifferPlace),
);
