import { type Init, kaimingUniform, normal, type Option, oneOf, zeros } from '@peftjs/core';
import { normalValues, PeftError, type Random, randomSource } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import type { Matrix } from 'ml-matrix';

/**
 * The first values of a layer's A and B. `uniform`: A from U(−1/√in, 1/√in), B zero. `gaussian`: A from N(0, 1/r²), B zero. `orthogonal`: neither is zero, but B·A is, as the rows of A and the columns of B
 * lie in spaces that are orthogonal to each other; r is even.
 */
export type LoraInit = 'uniform' | 'gaussian' | 'orthogonal';

/** The option; files don't hold it. */
export const loraInit: Option<LoraInit> = oneOf(null, ['uniform', 'gaussian', 'orthogonal'], 'uniform');

/** Q of a random matrix [rank, rank], every other row of it. */
const halfOf = async (rank: number, start: 0 | 1, path: Path): Promise<Matrix> => {
  const { Matrix: M, QrDecomposition } = await import('ml-matrix'); // which few need
  const drawn = normalValues(rank * rank, 1, randomSource(0, `${path}.orthogonal`));
  const rows = Array.from({ length: rank / 2 }, (_, i) => 2 * i + start);
  return new QrDecomposition(M.from1DArray(rank, rank, drawn)).orthogonalMatrix.subMatrixRow(rows);
};

/** N(0, 1/100) in the space of a half of Q: [n, rank]. */
const spanned = async (n: number, half: Matrix, random: Random): Promise<Matrix> => {
  const { Matrix: M } = await import('ml-matrix');
  return M.from1DArray(n, half.rows, normalValues(n * half.rows, 0.1, random)).mmul(half);
};

/**
 * Those of a layer, as Hugging Face PEFT's `init_lora_weights` has them. Throws `bad-option` for an odd rank of orthogonal ones.
 * `orthogonal`: Datta, 2024, https://datta0.github.io/posts/rethink-lora-init/
 */
export const firstValues = (init: LoraInit, path: Path, rank: number): { readonly a: Init; readonly b: Init } => {
  if (init === 'uniform') return { a: kaimingUniform, b: zeros };
  if (init === 'gaussian') return { a: normal(1 / rank), b: zeros };
  if (rank % 2 !== 0)
    throw new PeftError('bad-option', `lora: ${path}: orthogonal first values need an even rank, got ${rank}`);
  const values = (m: Matrix): Float32Array => Float32Array.from(m.to1DArray());
  return {
    a: async ([, inDim], random) => values((await spanned(inDim!, await halfOf(rank, 0, path), random)).transpose()),
    b: async ([outDim], random) => values(await spanned(outDim!, await halfOf(rank, 1, path), random)),
  };
};
