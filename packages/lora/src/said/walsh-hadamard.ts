import { constant, matmul, reshape, type Tensor, transpose } from '@peftjs/tensor';

/** Bits of the index that one product transforms: a matrix of 128 × 128 at most. */
const most = 7;

/** Hadamard's matrix of 2ᵏ rows after Sylvester: −1 where the indices of row and column share an odd number of ones, 1 elsewhere. */
const hadamard = (bits: number): Tensor => {
  const n = 2 ** bits;
  const isOdd = (v: number): boolean => v > 0 && isOdd(v >> 1) !== ((v & 1) === 1);
  return constant(
    Float32Array.from({ length: n * n }, (_, i) => (isOdd(Math.floor(i / n) & (i % n)) ? -1 : 1)),
    [n, n],
  );
};

/** H·x of a vector whose length is a power of two, H Hadamard's matrix: products with small ones, as it is their Kronecker product. */
export const walshHadamard = (x: Tensor): Tensor => {
  const size = x.shape[0]!;
  let y = x;
  for (let left = Math.log2(size); left > 0; left -= most) {
    const bits = Math.min(most, left);
    const n = 2 ** bits;
    y = transpose(matmul(reshape(y, [size / n, n]), hadamard(bits)), [1, 0]); // the bits that are done go to the front
  }
  return reshape(y, [size]);
};
