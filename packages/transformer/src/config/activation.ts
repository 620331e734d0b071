import * as z from 'zod';
import type { Activation } from '../activation.ts';

/** Activations by the names that `config.json` has for them. */
export const activationOf: {
  readonly [N in
    | 'gelu_new'
    | 'gelu_pytorch_tanh'
    | 'gelu_fast'
    | 'gelu_accurate'
    | 'gelu_python_tanh'
    | 'gelu'
    | 'gelu_python'
    | 'quick_gelu'
    | 'relu'
    | 'silu'
    | 'swish'
    | 'tanh']: Activation;
} = {
  gelu_new: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  gelu_fast: 'gelu-tanh',
  gelu_accurate: 'gelu-tanh',
  gelu_python_tanh: 'gelu-tanh',
  gelu: 'gelu',
  gelu_python: 'gelu',
  quick_gelu: 'quick-gelu',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
  tanh: 'tanh',
};

/** A name of one. */
export const activationSchema: z.ZodType<keyof typeof activationOf> = z.literal(
  Object.keys(activationOf) as (keyof typeof activationOf)[],
);
