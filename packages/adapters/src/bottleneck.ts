import { type Init, meanGate, ones, type Scope, zeros } from '@peftjs/core';
import { greaterEqual, layerNorm, mul, type Tensor } from '@peftjs/tensor';
import { affine, type Call } from '@peftjs/transformer';
import { type Activation, activationIn, type Layer } from './activation.ts';
import { type InitName, inits } from './init.ts';

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
  /** Of all that it adds to a sequence. */
  readonly stochasticDepth: number;
  readonly gating: boolean;
  readonly lnBefore: boolean;
  readonly lnAfter: boolean;
  readonly init: InitName;
}

/** Makes a projection: its tensors are `<name>.…` in the scope. */
export type Project = (scope: Scope, name: string, outDim: number, inDim: number, init: Init) => Layer;

/** A matrix and a bias, which begins at 0. */
export const linear: Project = (scope, name, outDim, inDim, init) => {
  const weight = scope.param(`${name}.weight`, [outDim, inDim], init);
  const bias = scope.param(`${name}.bias`, [outDim], zeros);
  return (x) => affine(x, { weight, bias });
};

const same: Layer = (x) => x;

/** A layer norm. */
export const norm = (scope: Scope, name: string, dim: number): Layer => {
  const weight = scope.param(`${name}.weight`, [dim], ones);
  const bias = scope.param(`${name}.bias`, [dim], zeros);
  return (x) => layerNorm(x, weight, bias, { eps: 1e-5 });
};

const scaled = (scope: Scope, scale: Scale, hiddenSize: number): Layer => {
  if (scale === 1) return same;
  const factor =
    typeof scale === 'number' ? scale : scope.param('scaling', [scale === 'learned' ? 1 : hiddenSize], ones);
  return (x) => mul(x, factor);
};

/** Drops x of a whole sequence with probability `rate` while training, and divides the others by 1 − rate. */
const dropSequences = ({ draw }: Scope, x: Tensor, rate: number): Tensor => {
  if (!draw || rate === 0) return x;
  const kept = greaterEqual(draw([x.shape[0]!, 1, 1]), rate);
  return mul(x, mul(kept, 1 / (1 - rate)));
};

/** An adapter's parts; x of shape [batch, tokens, d]. */
export interface Bottleneck {
  /** s·(W_up f(W_down norm(x) + b_down) + b_up). */
  readonly up: Layer;
  /** That with dropout and gate. */
  readonly added: (x: Tensor, call: Call) => Tensor;
  /** The norm after it; the identity where it has none. */
  readonly after: Layer;
}

/** A bottleneck in `scope`. */
export const bottleneck = (scope: Scope, shape: BottleneckShape, project: Project = linear): Bottleneck => {
  const { hiddenSize, width, scale, dropout, stochasticDepth, gating, lnBefore, lnAfter } = shape;
  const { down: downInit, up: upInit } = inits[shape.init];
  const before = lnBefore ? norm(scope, 'adapter_norm_before', hiddenSize) : same;
  // In the library's sequence of modules the norm is the first.
  const down = project(scope, `adapter_down.${lnBefore ? 1 : 0}`, width, hiddenSize, downInit);
  const activation = activationIn(scope, shape.activation);
  const out = project(scope, 'adapter_up', hiddenSize, width, upInit);
  const factor = scaled(scope, scale, hiddenSize);
  const after = lnAfter ? norm(scope, 'adapter_norm_after', hiddenSize) : same;
  const open = gating ? meanGate(scope, 'gate', hiddenSize) : null;
  const up: Layer = (x) => factor(out(activation(down(before(x)))));
  return {
    up,
    added: (x, call) => {
      const dropped = scope.dropout(dropSequences(scope, up(x), stochasticDepth), dropout);
      return open ? mul(dropped, open(x, call)) : dropped;
    },
    after,
  };
};
