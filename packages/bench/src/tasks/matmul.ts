import type { MatmulTask } from './task.ts';

const forward = { transposeA: false, transposeB: true };
const toInput = { transposeA: false, transposeB: false };
const toWeight = { transposeA: true, transposeB: false };

const shapes: readonly (readonly [string, number, number, number, typeof forward])[] = [
  ['a projection', 512, 256, 256, forward],
  ['the MLP, up', 512, 256, 688, forward],
  ['the gradient to its input', 512, 688, 256, toInput],
  ['LoRA, down', 512, 256, 8, forward],
  ['the gradient of A', 8, 512, 256, toWeight],
  ['the head', 512, 256, 4096, forward],
  ['the larger MLP, up', 512, 576, 1536, forward],
  ['the larger head', 512, 576, 8192, forward],
];

/** Products that occur in the training steps below, with 512 tokens. */
export const matmuls: readonly MatmulTask[] = shapes.map(([about, m, k, n, layout]) => ({
  kind: 'matmul',
  name: `matmul-${m}x${k}x${n}`,
  about,
  m,
  k,
  n,
  ...layout,
}));
