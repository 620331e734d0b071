import type { DType, MatmulAttrs } from '@peftjs/tensor';
import type { Sample } from '@peftjs/tensor/op';

type AnySample = Sample<string, unknown>;

const sample = (
  a: readonly number[],
  b: readonly number[],
  attrs: MatmulAttrs = {},
  dtypes: Record<string, DType> = {},
): AnySample => ({ shapes: { a, b }, attrs, dtypes });

const both = { transposeA: true, transposeB: true };

/** Sizes that all can be read in fours: beyond one tile of each size, a few rows or columns, deep ones, batches, f16 on either side. */
const samplesInFours: readonly AnySample[] = [
  sample([132, 72], [72, 136]),
  sample([132, 72], [136, 72], { transposeB: true }),
  sample([72, 132], [72, 136], { transposeA: true }),
  sample([72, 132], [136, 72], both),
  sample([36, 72], [40, 72], { transposeB: true }, { b: 'f16' }),
  sample([36, 72], [72, 40], {}, { a: 'f16', b: 'f16' }),
  sample([1, 520], [97, 520], { transposeB: true }),
  sample([1, 520], [520, 96]),
  sample([5, 264], [200, 264], { transposeB: true }, { b: 'f16' }),
  sample([137, 260], [9, 260], { transposeB: true }),
  sample([3, 1544], [24, 1544], { transposeB: true }),
  sample([20, 1032], [24, 1032], { transposeB: true }, { b: 'f16' }),
  sample([2, 3, 36, 20], [3, 20, 40]),
  sample([2, 3, 5, 36], [2, 1, 40, 36], { transposeB: true }),
];

const headSample: AnySample = {
  shapes: { hidden: [24, 36], weight: [72, 36], labels: [24] },
  dtypes: { labels: 'i32' },
  values: { labels: (i: number) => (i % 3 === 0 ? -100 : (i * 31) % 72) },
  attrs: { ignoreIndex: -100, chunk: 16 },
};

/** Samples of products beyond those of the ops, by op: sizes for which kernels have more ways. */
export const productSamples: Readonly<Record<string, readonly AnySample[]>> = {
  matmul: samplesInFours,
  head_cross_entropy: [headSample],
};
