import type { Compute } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { Matrix } from 'ml-matrix';

/** The weight of a layer, [out, in], whatever its format. */
export const weightOnHost = async ({ dense, inDim, outDim }: Linear, compute: Compute): Promise<Matrix> =>
  Matrix.from1DArray(outDim, inDim, await compute(dense().weight));
