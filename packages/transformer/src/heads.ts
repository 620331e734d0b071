import { reshape, type Tensor, transpose } from '@peftjs/tensor';

/** [batch, tokens, heads·headDim] -> [batch, heads, tokens, headDim] */
export const splitHeads = (x: Tensor, headDim: number): Tensor => {
  const [batch, tokens, width] = x.shape as readonly [number, number, number];
  return transpose(reshape(x, [batch, tokens, width / headDim, headDim]), [0, 2, 1, 3]);
};

/** [batch, heads, tokens, headDim] -> [batch, tokens, heads·headDim] */
export const joinHeads = (x: Tensor): Tensor => {
  const [batch, heads, tokens, headDim] = x.shape as readonly [number, number, number, number];
  return reshape(transpose(x, [0, 2, 1, 3]), [batch, tokens, heads * headDim]);
};
