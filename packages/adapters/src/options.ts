import { type Chosen, count, flag, type Option, type OptionTable, oneOf, rate } from '@peftjs/core';
import { type Activation, activationNames, type Scale } from './bottleneck.ts';

/** Options of the bottleneck adapters. */
export interface BottleneckOptions {
  /** The width of the middle is d / reduction. */
  readonly reduction?: number;
  /** The width itself, instead of a reduction. */
  readonly bottleneck?: number;
  readonly activation?: Activation;
  /** Factor of what is added. */
  readonly scale?: Scale;
  /** Probability that a value that is added is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Numbers of layers that get none. Default: all get one. */
  readonly leaveOut?: readonly number[];
  /**
   * A trained gate on what is added, a mean over the tokens: UniPELT, Mao et al., 2021, https://arxiv.org/abs/2110.07577. Then what comes
   * later has an influence on what came before. Default false.
   */
  readonly gating?: boolean;
}

/** The adapters library's names, where they are others. */
const activationsThere: Readonly<Record<string, Activation>> = { swish: 'silu', gelu_new: 'gelu-tanh' };

const activation = (fallback: Activation): Option<Activation> => ({
  ...oneOf('non_linearity', activationNames, fallback),
  toJson: (name) => Object.entries(activationsThere).find(([, ours]) => ours === name)?.[0] ?? name,
  fromJson: (name) => activationsThere[String(name)] ?? name,
});

const isPositive = (v: unknown): boolean => Number.isFinite(v) && (v as number) > 0;

/** The options' table; the defaults differ from method to method. */
export const bottleneckOptions = (
  reduction: number,
  nonLinearity: Activation,
  scale: number,
): OptionTable<BottleneckOptions> => ({
  reduction: { key: 'reduction_factor', fallback: () => reduction, expected: 'a number above 0', accepts: isPositive },
  bottleneck: { ...count(null, 1), fallback: () => 0 },
  activation: activation(nonLinearity),
  scale: {
    key: 'scaling',
    fallback: () => scale,
    expected: 'a finite number, learned or channel',
    accepts: (v) => Number.isFinite(v) || v === 'learned' || v === 'channel',
  },
  dropout: rate('dropout', 0),
  leaveOut: {
    key: 'leave_out',
    fallback: () => [],
    expected: 'a list of numbers of layers',
    accepts: (v) => Array.isArray(v) && v.every((i) => Number.isSafeInteger(i) && i >= 0),
    toJson: (layers) => [...layers],
  },
  gating: flag('use_gating', false),
});

/** Width of the middle, at least 1: ⌊d / reduction⌋ as Python takes it, of the numbers as they are and not of a rounded quotient. */
export const widthOf = (hiddenSize: number, { reduction, bottleneck }: Chosen<BottleneckOptions>): number =>
  bottleneck || Math.max(1, Math.round((hiddenSize - (hiddenSize % reduction)) / reduction));

/** The reduction that gives this width. */
export const reductionOf = (hiddenSize: number, width: number): number =>
  hiddenSize % width === 0 ? hiddenSize / width : hiddenSize / (width + 0.5);
