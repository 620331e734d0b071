import type { Sample } from '../define-op.ts';
import type { MatmulAttrs } from './matmul.ts';

/** Samples of `matmul`: odd sizes for every edge, all transposes, either side broadcast, skinny and deep products, empty ones. */
export const matmulSamples: readonly Sample<'a' | 'b', MatmulAttrs>[] = [
  { shapes: { a: [3, 5], b: [5, 7] } },
  { shapes: { a: [65, 33], b: [33, 70] } },
  { shapes: { a: [33, 65], b: [33, 70] }, attrs: { transposeA: true } },
  { shapes: { a: [65, 33], b: [70, 33] }, attrs: { transposeB: true } },
  { shapes: { a: [33, 65], b: [70, 33] }, attrs: { transposeA: true, transposeB: true } },
  { shapes: { a: [2, 3, 4, 5], b: [5, 6] } },
  { shapes: { a: [2, 3, 5, 4], b: [6, 5] }, attrs: { transposeA: true, transposeB: true } },
  { shapes: { a: [4, 5], b: [3, 5, 2] } },
  { shapes: { a: [2, 1, 18, 19], b: [3, 19, 20] } },
  { shapes: { a: [2, 3, 19, 18], b: [2, 1, 20, 19] }, attrs: { transposeA: true, transposeB: true } },
  { shapes: { a: [1, 300], b: [90, 300] }, attrs: { transposeB: true } },
  { shapes: { a: [3, 70], b: [70, 130] } },
  { shapes: { a: [70, 130], b: [9, 130] }, attrs: { transposeB: true } },
  { shapes: { a: [1100, 8], b: [1100, 33] }, attrs: { transposeA: true } },
  { shapes: { a: [1100, 40], b: [1100, 3] }, attrs: { transposeA: true } },
  { shapes: { a: [2, 600, 20], b: [2, 600, 24] }, attrs: { transposeA: true } },
  { shapes: { a: [9, 36], b: [20, 36] }, dtypes: { b: 'f16' }, attrs: { transposeB: true } },
  { shapes: { a: [9, 35], b: [35, 21] }, dtypes: { b: 'f16' } },
  { shapes: { a: [2, 20, 12], b: [20, 24] }, dtypes: { a: 'f16' }, attrs: { transposeA: true } },
  { shapes: { a: [0, 4], b: [4, 5] } },
  { shapes: { a: [3, 0], b: [0, 5] } },
];
