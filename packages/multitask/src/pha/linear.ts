import { type Init, kaimingUniform, type Scope, uniform } from '@peftjs/core';
import type { Tensor } from '@peftjs/tensor';
import { affine } from '@peftjs/transformer';

/** First values of a linear layer. */
export interface LinearInit {
  readonly weight: Init;
  readonly bias: Init;
}

/** x·Wᵀ + b with trained W [outDim, inDim] and b [outDim]; first values by default PyTorch's, both from U(−1/√inDim, 1/√inDim). */
export const linear = (
  scope: Scope,
  name: string,
  inDim: number,
  outDim: number,
  init: LinearInit = { weight: kaimingUniform, bias: uniform(1 / Math.sqrt(inDim)) },
): ((x: Tensor) => Tensor) => {
  const weight = scope.param(`${name}.weight`, [outDim, inDim], init.weight);
  const bias = scope.param(`${name}.bias`, [outDim], init.bias);
  return (x) => affine(x, { weight, bias });
};
