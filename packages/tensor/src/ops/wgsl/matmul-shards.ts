import type { MatmulProblem } from './matmul-problem.ts';

/** Rows of the right side in steps of this many begin where WebGPU lets a binding begin, whatever their length. */
const rowStep = 64;

/** A product in parts, because its right side is more than a kernel may bind: each part reads some rows of it as they are stored. */
export interface Shards {
  /** `'columns'`: parts make columns of the output. `'depth'`: each makes a part of every sum. */
  readonly axis: 'columns' | 'depth';
  readonly parts: readonly MatmulProblem[];
}

/** Parts of a product whose plain, unbatched right side exceeds `maxBytes`; null where it need not or can't be taken apart. */
export const shardProblem = (problem: MatmulProblem, maxBytes: number): Shards | null => {
  const { m, n, k, a, b, batch = [] } = problem;
  if (4 * n * k <= maxBytes || b.packing || b.offset || b.pitch || batch.length > 0) return null;
  const [rows, length] = b.transposed ? [n, k] : [k, n];
  const step = Math.floor(maxBytes / (4 * length * rowStep)) * rowStep;
  if (step === 0) return null;
  const parts = Array.from({ length: Math.ceil(rows / step) }, (_, i): MatmulProblem => {
    const first = i * step;
    const count = Math.min(step, rows - first);
    const window = { offset: 4 * first * length, bytes: 4 * count * length };
    if (b.transposed) return { ...problem, n: count, b: { ...b, window }, columns: { first, pitch: n } };
    const pitch = a.pitch ?? (a.transposed ? m : k);
    const offset = (a.offset ?? 0) + first * (a.transposed ? pitch : 1);
    return { ...problem, k: count, a: { ...a, offset, pitch }, b: { ...b, window } };
  });
  return { axis: b.transposed ? 'columns' : 'depth', parts };
};
