import { type AdapterConfig, type Chosen, flag, type MethodFactory, type Option, type OptionTable } from '@peftjs/core';
import { plusPlace } from './adapter-plus.ts';
import { isPhmAt } from './compacter/compacter.ts';
import { defineBottleneck, isAt } from './define-bottleneck.ts';
import { houlsbyKind, houlsbyPlace } from './houlsby.ts';
import { isInvertibleAt } from './mad-x/mad-x.ts';
import { type BottleneckOptions, bottleneckOptions } from './options.ts';
import { besideMlp } from './parallel-adapter.ts';
import { pfeifferKind, pfeifferPlace } from './pfeiffer.ts';
import type { Placement, Sublayer } from './placement.ts';

/** Options of `bottleneckAdapter`, beside those of all bottleneck adapters. */
export interface BottleneckAdapterOptions extends BottleneckOptions {
  /** The sublayers that have an adapter. Default: both. */
  readonly sublayers?: readonly Sublayer[];
  /** Whether adapters stand beside their sublayer, which is to read the stream h and to be added to y. Default false: they follow it. */
  readonly parallel?: boolean;
  /** Whether one that follows reads y + h, not y. Default false. */
  readonly originalLnBefore?: boolean;
  /** Whether h is added to its result. Default true. Without, the result should hold it: `residualBeforeLn: false`. */
  readonly originalLnAfter?: boolean;
  /** Whether its result holds y, not what it reads. Default true. */
  readonly residualBeforeLn?: boolean;
}

const sublayers: Option<readonly Sublayer[]> = {
  key: 'output_adapter',
  fallback: () => ['attn', 'mlp'],
  expected: 'attn, mlp or both in a list',
  accepts: (v) => Array.isArray(v) && v.length > 0 && v.every((s) => s === 'attn' || s === 'mlp'),
  toJson: (all) => all.includes('mlp'),
  fromJson: (mlp, config) => [...(config['mh_adapter'] === true ? ['attn'] : []), ...(mlp === true ? ['mlp'] : [])],
};

/** The options' table. */
export const anyPlaceOptions: OptionTable<BottleneckAdapterOptions> = {
  ...bottleneckOptions({ reduction: 16, activation: 'relu', scale: 1, init: 'normal' }),
  sublayers,
  parallel: flag('is_parallel', false),
  originalLnBefore: flag('original_ln_before', false),
  originalLnAfter: flag('original_ln_after', true),
  residualBeforeLn: flag('residual_before_ln', true),
};

/** The place that options say. */
export const placeOf = ({
  sublayers: at,
  parallel,
  originalLnBefore,
  originalLnAfter,
  residualBeforeLn,
}: Chosen<BottleneckAdapterOptions>): Placement => ({
  sublayers: at,
  parallel,
  originalLnBefore,
  originalLnAfter,
  residualBeforeLn,
});

const named = [
  houlsbyKind.reads,
  pfeifferKind.reads,
  isAt(besideMlp),
  isAt(plusPlace),
  isPhmAt(houlsbyPlace),
  isPhmAt(pfeifferPlace),
  isInvertibleAt(houlsbyPlace),
  isInvertibleAt(pfeifferPlace),
];

/**
 * The bottleneck adapter in every place that `BnConfig` of the adapters library has, whose files it has where no method here is a name for
 * one: with y a sublayer's output, h the residual stream and x what the adapter reads (y, y + h, or h of one beside the sublayer),
 * y ← y + s·(W_up f(W_down x + b_down) + b_up). `houlsby`, `pfeiffer`, `parallelAdapter` and `adapterPlus` are the named ones. Default:
 * after both sublayers, x = y, f = ReLU, r = d / 16, s = 1. Does not merge. Poth et al., 2023. https://arxiv.org/abs/2311.11077
 */
export const bottleneckAdapter: MethodFactory<BottleneckAdapterOptions> = defineBottleneck<BottleneckAdapterOptions>({
  name: 'bottleneckAdapter',
  peftType: 'BOTTLENECK_ADAPTER',
  card: {
    about: 'a bottleneck in any place',
    paper: {
      authors: 'Poth et al.',
      year: 2023,
      title: 'Adapters: A Unified Library for Parameter-Efficient and Modular Transfer Learning',
      url: 'https://arxiv.org/abs/2311.11077',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
  options: anyPlaceOptions,
  placement: placeOf,
  reads: (config: AdapterConfig) => !named.some((reads) => reads(config)),
});
