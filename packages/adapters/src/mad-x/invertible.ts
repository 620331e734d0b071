import { type Init, normal, type Scope } from '@peftjs/core';
import { add, concat, slice, sub, type Tensor } from '@peftjs/tensor';
import { type Activation, activationIn, type Layer } from '../activation.ts';
import { linear } from '../bottleneck.ts';

/** A function of a stream [batch, tokens, d] and its inverse. */
export interface Invertible {
  readonly forward: Layer;
  readonly inverse: Layer;
}

const init: Init = normal(0.02);

/** W₂ f(W₁ x + b₁) + b₂ of the width that the reduction gives. */
const subnet = (scope: Scope, outDim: number, inDim: number, reduction: number, activation: Activation): Layer => {
  const width = Math.max(1, Math.floor(inDim / reduction));
  const first = linear(scope, '0', width, inDim, init);
  const last = linear(scope, '2', outDim, width, init);
  const f = activationIn(scope, activation);
  return (x) => last(f(first(x)));
};

/**
 * Coupling block: halves x₁, x₂ of the channels become y₁ = x₁ + F(x₂), y₂ = x₂ + G(y₁), which is inverted by taking them away again in the
 * other order. F and G are bottlenecks of their own, from N(0, 0.02²). Dinh, Krueger & Bengio, 2014 (NICE). https://arxiv.org/abs/1410.8516
 */
export const nice = (scope: Scope, d: number, reduction: number, activation: Activation): Invertible => {
  const [one, two] = [Math.floor(d / 2), d - Math.floor(d / 2)];
  const f = subnet(scope.at('F'), one, two, reduction, activation);
  const g = subnet(scope.at('G'), two, one, reduction, activation);
  const halves = (x: Tensor): readonly [Tensor, Tensor] => [
    slice(x, { axis: 2, start: 0, end: one }),
    slice(x, { axis: 2, start: one, end: d }),
  ];
  return {
    forward: (x) => {
      const [a, b] = halves(x);
      const y = add(a, f(b));
      return concat(y, add(b, g(y)), { axis: 2 });
    },
    inverse: (y) => {
      const [a, b] = halves(y);
      const x = sub(b, g(a));
      return concat(sub(a, f(x)), x, { axis: 2 });
    },
  };
};
