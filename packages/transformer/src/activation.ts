import { gelu, relu, silu, type Tensor, tanh } from '@peftjs/tensor';

/** The function of an MLP: `gelu-tanh` is 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), `gelu` is x Φ(x). */
export type Activation = 'gelu-tanh' | 'gelu' | 'relu' | 'silu' | 'tanh';

/** All of them. */
export const activations: { readonly [A in Activation]: (x: Tensor) => Tensor } = {
  'gelu-tanh': (x) => gelu(x, { approximate: 'tanh' }),
  gelu: (x) => gelu(x),
  relu,
  silu,
  tanh: (x) => tanh(x),
};

/** Their names in `config.json`. */
export const activationNames: { readonly [A in Activation]: string } = {
  'gelu-tanh': 'gelu_new',
  gelu: 'gelu',
  relu: 'relu',
  silu: 'silu',
  tanh: 'tanh',
};
