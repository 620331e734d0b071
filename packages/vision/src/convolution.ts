import { add, concatAll, matmul, pad, reshape, slice, type Tensor, transpose } from '@peftjs/tensor';

/**
 * A convolution of 3 × 3, with zeros around: x [batch, lines, columns, in], kernel [out, in, 3, 3], bias [out] -> [batch, lines, columns, out]. One product over the nine
 * neighbours of each place.
 */
export const convolved = (x: Tensor, kernel: Tensor, bias: Tensor): Tensor => {
  const [, lines, columns] = x.shape as readonly [number, number, number];
  const [outDim, inDim] = kernel.shape as readonly [number, number];
  const wider = pad(pad(x, { axis: 1, before: 1, after: 1 }), { axis: 2, before: 1, after: 1 });
  const near = [0, 1, 2].flatMap((down) => {
    const line = slice(wider, { axis: 1, start: down, end: down + lines });
    return [0, 1, 2].map((right) => slice(line, { axis: 2, start: right, end: right + columns }));
  });
  const weights = reshape(transpose(kernel, [0, 2, 3, 1]), [outDim, 9 * inDim]);
  return add(matmul(concatAll(near, 3), weights, { transposeB: true }), bias);
};

/** The middle of a kernel [out, in, 3, 3] as a matrix [out, in]: what a picture of one place sees of it. */
export const atMiddle = (kernel: Tensor): Tensor => {
  const [outDim, inDim] = kernel.shape as readonly [number, number];
  const line = slice(kernel, { axis: 2, start: 1, end: 2 });
  return reshape(slice(line, { axis: 3, start: 1, end: 2 }), [outDim, inDim]);
};
