import { filled, type Option, oneOf, type Scope } from '@peftjs/core';
import {
  abs,
  add,
  erf,
  exp,
  gelu,
  log,
  maximum,
  minimum,
  mul,
  neg,
  relu,
  sigmoid,
  silu,
  sub,
  type Tensor,
  tanh,
} from '@peftjs/tensor';

/** A function of one tensor. */
export type Layer = (x: Tensor) => Tensor;

/** The nonlinearity of an adapter's inner values; `silu` is also called swish. `prelu` has a trained slope. */
export type Activation =
  | 'relu'
  | 'silu'
  | 'gelu'
  | 'gelu-tanh'
  | 'tanh'
  | 'sigmoid'
  | 'leaky-relu'
  | 'prelu'
  | 'relu2'
  | 'relu6'
  | 'quick-gelu'
  | 'gelu-10'
  | 'mish'
  | 'laplace'
  | 'linear';

/** x where it is above 0, slope · x elsewhere. */
const leaky = (x: Tensor, slope: Tensor | number): Tensor => add(maximum(x, 0), mul(minimum(x, 0), slope));

/** ln(1 + eˣ), without overflow. */
const softplus: Layer = (x) => add(maximum(x, 0), log(add(exp(neg(abs(x))), 1)));

/** ½ (1 + erf((x − μ) / (σ √2))) with μ = √½, σ = √(1 / 4π). Ma et al., 2022 (Mega). https://arxiv.org/abs/2209.10655 */
const laplace: Layer = (x) => mul(add(erf(mul(sub(x, Math.SQRT1_2), Math.sqrt(2 * Math.PI))), 1), 0.5);

const activations: { readonly [A in Exclude<Activation, 'prelu'>]: Layer } = {
  relu,
  silu,
  gelu: (x) => gelu(x),
  'gelu-tanh': (x) => gelu(x, { approximate: 'tanh' }),
  tanh,
  sigmoid,
  'leaky-relu': (x) => leaky(x, 0.01),
  relu2: (x) => mul(relu(x), relu(x)),
  relu6: (x) => minimum(relu(x), 6),
  'quick-gelu': (x) => mul(x, sigmoid(mul(x, 1.702))),
  'gelu-10': (x) => maximum(minimum(gelu(x), 10), -10),
  mish: (x) => mul(x, tanh(softplus(x))),
  laplace,
  linear: (x) => x,
};

/** A nonlinearity; the slope of `prelu` is made in `scope`, as PyTorch's: one number, 0.25 at the start. */
export const activationIn = (scope: Scope, name: Activation): Layer => {
  if (name !== 'prelu') return activations[name];
  const slope = scope.param('non_linearity.f.weight', [1], filled(0.25));
  return (x) => leaky(x, slope);
};

const names: readonly Activation[] = [...(Object.keys(activations) as Exclude<Activation, 'prelu'>[]), 'prelu'];

/** Names of transformers' table and of the adapters library, where they are others; several may be one function. The first is written. */
const namesThere: readonly (readonly [there: string, ours: Activation])[] = [
  ['swish', 'silu'],
  ['gelu_new', 'gelu-tanh'],
  ['gelu_fast', 'gelu-tanh'],
  ['gelu_accurate', 'gelu-tanh'],
  ['gelu_pytorch_tanh', 'gelu-tanh'],
  ['gelu_python_tanh', 'gelu-tanh'],
  ['gelu_python', 'gelu'],
  ['gelu_10', 'gelu-10'],
  ['leakyrelu', 'leaky-relu'],
  ['leaky_relu', 'leaky-relu'],
  ['quick_gelu', 'quick-gelu'],
];

/** The option of a nonlinearity, `non_linearity` in files of adapter-hub/adapters. */
export const activationOption = (fallback: Activation): Option<Activation> => ({
  ...oneOf('non_linearity', names, fallback),
  toJson: (name) => namesThere.find(([, ours]) => ours === name)?.[0] ?? name,
  fromJson: (name) => {
    const given = String(name).toLowerCase();
    return namesThere.find(([there]) => there === given)?.[1] ?? given;
  },
});
