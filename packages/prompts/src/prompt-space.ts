import { uniform } from '@peftjs/core';
import { type Tensor, tanh } from '@peftjs/tensor';
import { affine } from '@peftjs/transformer';
import type { TensorsOf } from './encoder.ts';

/** The sizes of a space of prompts. */
export interface PromptSpaceSizes {
  /** Values of a prompt, m·d. */
  readonly size: number;
  /** Numbers r that stand for one. */
  readonly dimension: number;
  /** Width h between them. */
  readonly inner: number;
}

const layer = (tensors: TensorsOf, name: string, inDim: number, outDim: number): ((x: Tensor) => Tensor) => {
  const init = uniform(1 / Math.sqrt(inDim));
  const parts = {
    weight: tensors(`${name}.weight`, [outDim, inDim], init),
    bias: tensors(`${name}.bias`, [outDim], init),
  };
  return (x) => affine(x, parts);
};

/** W₃·tanh(W₂c + b₂) + b₃ of a code c [rows, r]: prompts [rows, m·d]. */
export const promptDecoder = (
  tensors: TensorsOf,
  { size, dimension, inner }: PromptSpaceSizes,
): ((code: Tensor) => Tensor) => {
  const second = layer(tensors, 'prompt_W2', dimension, inner);
  const third = layer(tensors, 'prompt_W3', inner, size);
  return (code) => third(tanh(second(code)));
};

/** The auto-encoder of IPT: W₁p + b₁ of prompts p [rows, m·d], and the decoder. */
export const promptSpace = (
  tensors: TensorsOf,
  sizes: PromptSpaceSizes,
): { readonly encode: (prompt: Tensor) => Tensor; readonly decode: (code: Tensor) => Tensor } => ({
  encode: layer(tensors, 'prompt_W1', sizes.size, sizes.dimension),
  decode: promptDecoder(tensors, sizes),
});
