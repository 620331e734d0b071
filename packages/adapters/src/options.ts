import {
  type Chosen,
  count,
  flag,
  isObject,
  layerNumbers,
  type Option,
  type OptionTable,
  rate,
  wholeNumber,
} from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import { type Activation, activationOption } from './activation.ts';
import type { Scale } from './bottleneck.ts';
import { type InitName, initOption } from './init.ts';

/** Reductions by the layer's number, `default` for all others: `{ 0: 8, default: 16 }`. */
export type ReductionByLayer = Readonly<Record<string, number>>;

/** Options of the bottleneck adapters. */
export interface BottleneckOptions {
  /** The width of the middle is d / reduction. */
  readonly reduction?: number | ReductionByLayer;
  /** The width itself, instead of a reduction. */
  readonly bottleneck?: number;
  readonly activation?: Activation;
  /** Factor of what is added. */
  readonly scale?: Scale;
  /** Probability that a value that is added is dropped while training. Default 0. */
  readonly dropout?: number;
  /**
   * Probability that nothing is added to a sequence while training: Huang et al., 2016, https://arxiv.org/abs/1603.09382. Not for adapters
   * beside a sublayer.
   */
  readonly stochasticDepth?: number;
  /** Numbers of layers that get none, as AdapterDrop has it: Rücklé et al., 2020, https://arxiv.org/abs/2010.11918. Default: all get one. */
  readonly leaveOut?: readonly number[];
  /**
   * Robust AdapterDrop: in every training step the first n layers have none, n drawn from 0 to this. Then one may leave out as many when it is
   * used: `leaveOut`. No file holds it. Rücklé et al., 2020, https://arxiv.org/abs/2010.11918. Default 0.
   */
  readonly dropLayers?: number;
  /**
   * A trained gate on what is added, a mean over the tokens: UniPELT, Mao et al., 2021, https://arxiv.org/abs/2110.07577. Then what comes
   * later has an influence on what came before. Default false.
   */
  readonly gating?: boolean;
  /** A trained layer norm before the bottleneck. Default false. */
  readonly lnBefore?: boolean;
  /** A trained layer norm of what is added. Default false. */
  readonly lnAfter?: boolean;
  /** Whether `lnAfter` is of the sum instead: then training does not begin at the base. Not beside a sublayer. Default false. */
  readonly adapterResidualBeforeLn?: boolean;
  /**
   * First values: `normal`, matrices from N(0, 0.02²); `mam`, W_down from U(−1/√d, 1/√d) and W_up 0; `houlsby`, N(0, 0.01²) cut at ±0.02.
   */
  readonly init?: InitName;
}

/** Those defaults that differ from method to method. */
export interface BottleneckDefaults {
  readonly reduction: number;
  readonly activation: Activation;
  readonly scale: Scale;
  readonly init: InitName;
  readonly stochasticDepth?: number;
}

const isPositive = (v: unknown): boolean => Number.isFinite(v) && (v as number) > 0;

const isByLayer = (v: unknown): boolean =>
  isObject(v) &&
  Object.entries(v).length > 0 &&
  Object.entries(v).every(([layer, n]) => /^(default|0|[1-9]\d*)$/.test(layer) && isPositive(n));

const reductions = (fallback: number): Option<number | ReductionByLayer> => ({
  key: 'reduction_factor',
  fallback: () => fallback,
  expected: 'a number above 0, or such numbers by layer and default',
  accepts: (v) => isPositive(v) || isByLayer(v),
});

/** The options' table. */
export const bottleneckOptions = (defaults: BottleneckDefaults): OptionTable<BottleneckOptions> => ({
  reduction: reductions(defaults.reduction),
  bottleneck: { ...count(null, 1), fallback: () => 0 },
  activation: activationOption(defaults.activation),
  scale: {
    key: 'scaling',
    fallback: () => defaults.scale,
    expected: 'a finite number, learned or channel',
    accepts: (v) => Number.isFinite(v) || v === 'learned' || v === 'channel',
  },
  dropout: rate('dropout', 0),
  stochasticDepth: rate('stochastic_depth', defaults.stochasticDepth ?? 0),
  leaveOut: layerNumbers('leave_out'),
  dropLayers: wholeNumber(null, 0),
  gating: flag('use_gating', false),
  lnBefore: flag('ln_before', false),
  lnAfter: flag('ln_after', false),
  adapterResidualBeforeLn: flag('adapter_residual_before_ln', false),
  init: initOption(defaults.init),
});

/** The reduction in a layer. Throws `bad-option` where none is given for it. */
const reductionIn = (reduction: number | ReductionByLayer, layer: number): number => {
  if (typeof reduction === 'number') return reduction;
  const found = reduction[layer] ?? reduction['default'];
  if (found !== undefined) return found;
  throw new PeftError(
    'bad-option',
    `reduction: layer ${layer} has none; there are ${Object.keys(reduction).join(', ')}; give it one, or a default`,
  );
};

/**
 * Width of the middle in a layer, at least 1: ⌊d / reduction⌋ as Python takes it, of the numbers as they are and not of a rounded quotient.
 * Throws `bad-option`.
 */
export const widthOf = (
  hiddenSize: number,
  { reduction, bottleneck }: Chosen<Pick<BottleneckOptions, 'reduction' | 'bottleneck'>>,
  layer: number,
): number => {
  if (bottleneck) return bottleneck;
  const by = reductionIn(reduction, layer);
  return Math.max(1, Math.round((hiddenSize - (hiddenSize % by)) / by));
};

/** The reduction that gives this width. */
export const reductionOf = (hiddenSize: number, width: number): number =>
  hiddenSize % width === 0 ? hiddenSize / width : hiddenSize / (width + 0.5);
