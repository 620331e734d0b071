import { gelu, mul, relu, sigmoid, silu, type Tensor, tanh } from '@peftjs/tensor';

/** The function of an MLP: `gelu-tanh` is 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), `gelu` is x Φ(x), `quick-gelu` x σ(1.702 x). */
export type Activation = 'gelu-tanh' | 'gelu' | 'quick-gelu' | 'relu' | 'silu' | 'tanh';

/** All of them. */
export const activations: { readonly [A in Activation]: (x: Tensor) => Tensor } = {
  'gelu-tanh': (x) => gelu(x, { approximate: 'tanh' }),
  gelu: (x) => gelu(x),
  'quick-gelu': (x) => mul(x, sigmoid(mul(x, 1.702))),
  relu,
  silu,
  tanh: (x) => tanh(x),
};

/** Their names in `config.json`. */
export const activationNames: { readonly [A in Activation]: string } = {
  'gelu-tanh': 'gelu_new',
  gelu: 'gelu',
  'quick-gelu': 'quick_gelu',
  relu: 'relu',
  silu: 'silu',
  tanh: 'tanh',
};
