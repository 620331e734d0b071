import { type Init, kaimingUniform, meanGate, normal, ones, type Scope, zeros } from '@peftjs/core';
import { gelu, mul, relu, sigmoid, silu, type Tensor, tanh } from '@peftjs/tensor';
import { affine, type Call } from '@peftjs/transformer';

/** The nonlinearity of an adapter's inner values; `silu` is also called swish. */
export type Activation = 'relu' | 'silu' | 'gelu' | 'gelu-tanh' | 'tanh' | 'sigmoid';

type Layer = (x: Tensor) => Tensor;

const activations: { readonly [A in Activation]: Layer } = {
  relu,
  silu,
  gelu: (x) => gelu(x),
  'gelu-tanh': (x) => gelu(x, { approximate: 'tanh' }),
  tanh,
  sigmoid,
};

/** All of them. */
export const activationNames: readonly Activation[] = Object.keys(activations) as Activation[];

/** A factor of what an adapter adds: a constant; one trained number (`learned`), or one per channel, beginning at 1. */
export type Scale = number | 'learned' | 'channel';

/** An adapter's shape, with nothing left open. */
export interface BottleneckShape {
  readonly hiddenSize: number;
  /** Width r of its middle. */
  readonly width: number;
  readonly activation: Activation;
  readonly scale: Scale;
  /** Of what it adds. */
  readonly dropout: number;
  readonly gating: boolean;
}

/** How its matrices begin. */
export interface BottleneckInit {
  readonly down: Init;
  readonly up: Init;
}

/** Both matrices from N(0, 0.02²), as BERT's: nearly the identity. */
export const bertInit: BottleneckInit = { down: normal(0.02), up: normal(0.02) };

/** Exactly the identity: He et al., 2021. https://arxiv.org/abs/2110.04366 */
export const mamInit: BottleneckInit = { down: kaimingUniform, up: zeros };

const linear = (scope: Scope, name: string, outDim: number, inDim: number, init: Init): Layer => {
  const weight = scope.param(`${name}.weight`, [outDim, inDim], init);
  const bias = scope.param(`${name}.bias`, [outDim], zeros);
  return (x) => affine(x, { weight, bias });
};

const scaled = (scope: Scope, scale: Scale, hiddenSize: number): Layer => {
  if (scale === 1) return (x) => x;
  const factor =
    typeof scale === 'number' ? scale : scope.param('scaling', [scale === 'learned' ? 1 : hiddenSize], ones);
  return (x) => mul(x, factor);
};

/** A bottleneck: `up` is s·(W_up f(W_down x + b_down) + b_up), `apply` that with dropout and gate; x of shape [batch, tokens, d]. */
export const bottleneck = (
  scope: Scope,
  { hiddenSize, width, activation, scale, dropout, gating }: BottleneckShape,
  init: BottleneckInit,
): { readonly up: Layer; readonly apply: (x: Tensor, call: Call) => Tensor } => {
  const down = linear(scope, 'adapter_down.0', width, hiddenSize, init.down);
  const out = linear(scope, 'adapter_up', hiddenSize, width, init.up);
  const factor = scaled(scope, scale, hiddenSize);
  const open = gating ? meanGate(scope, 'gate', hiddenSize) : null;
  const up: Layer = (x) => factor(out(activations[activation](down(x))));
  return {
    up,
    apply: (x, call) => {
      const added = scope.dropout(up(x), dropout);
      return open ? mul(added, open(x, call)) : added;
    },
  };
};
