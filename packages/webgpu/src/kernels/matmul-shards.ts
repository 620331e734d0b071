import { packedFormats } from '@peftjs/tensor';
import type { MatmulProblem, MatmulSide } from './matmul-problem.ts';
import { scaleBytes } from './packing.ts';
import { type PositionPart, partsOf, windowBytes } from './position-shards.ts';

/** Rows of the right side in steps of this many begin where WebGPU lets a binding begin, whatever their length. */
const rowStep = 64;
/** The same where elements are f16, two to a word. */
const halfRowStep = 128;
/** The same where elements are packed, for the codes as for the scales. */
const packedRowStep = 256;

/** A product in parts, because its right side or its output is more than a kernel may bind: each takes some rows of it as they are stored. */
export interface Shards {
  /** `'rows'`, `'columns'`: parts make rows or columns of the output. `'depth'`: each makes a part of every sum. */
  readonly axis: 'rows' | 'columns' | 'depth';
  readonly parts: readonly MatmulProblem[];
}

/** Parts whose rows of the output are bound by themselves: gradients of weights that are too large to be bound. */
const shardRows = (problem: MatmulProblem, maxBytes: number): Shards | null => {
  const { m, n, k, a, columns, outOffset, limit, factors, batch = [] } = problem;
  if (columns || outOffset || limit?.axis === 'm' || batch.length > 0) return null;
  const step = Math.floor(maxBytes / (4 * n * rowStep)) * rowStep;
  if (step === 0) return null;
  const pitch = a.pitch ?? (a.transposed ? m : k);
  const parts = partsOf(m, step).map((rows): MatmulProblem => {
    const { first, count } = rows;
    const offset = (a.offset ?? 0) + first * (a.transposed ? 1 : pitch);
    return {
      ...problem,
      m: count,
      a: { ...a, offset, pitch },
      outWindow: windowBytes(rows, 4 * n),
      ...(factors && { factors: { ...factors, first: factors.first + first } }),
    };
  });
  return { axis: 'rows', parts };
};

/** Rows of the right side as they are stored: their elements and bytes, and in steps of how many they begin where a binding may. */
const storedRows = ({ n, k, b: { packing, half, pitch, transposed } }: MatmulProblem) => {
  const length = pitch ?? (transposed ? k : n);
  if (packing) return { length, bytes: (length * packedFormats[packing.format].lowBits) / 8, step: packedRowStep };
  return half ? { length, bytes: 2 * length, step: halfRowStep } : { length, bytes: 4 * length, step: rowStep };
};

/** The part of a right side that is these of its stored rows. */
const rowsOf = ({ b, ...rest }: MatmulProblem, rows: PositionPart): MatmulSide => {
  const { length, bytes } = storedRows({ b, ...rest });
  const window = windowBytes(rows, bytes);
  if (!b.packing) return { ...b, window };
  const { format, block, high } = b.packing;
  const windows = {
    scales: windowBytes(rows, scaleBytes(b.packing) * (length / block)),
    ...(high && { high: windowBytes(rows, (length * packedFormats[format].highBits) / 8) }),
  };
  return { ...b, window, packing: { ...b.packing, windows } };
};

/** Parts of a product whose output or unbatched right side exceeds `maxBytes`; null where it need not or can't be taken apart. */
export const shardProblem = (problem: MatmulProblem, maxBytes: number): Shards | null => {
  const { m, n, k, a, b, batch = [] } = problem;
  if (4 * m * n > maxBytes && !problem.outWindow) return shardRows(problem, maxBytes);
  const rows = b.transposed ? n : k;
  const { bytes, step: unit } = storedRows(problem);
  if (rows * bytes <= maxBytes || b.offset || (b.pitch && !b.packing) || batch.length > 0) return null;
  const step = Math.floor(maxBytes / (bytes * unit)) * unit;
  if (step === 0) return null;
  const parts = partsOf(rows, step).map((stored): MatmulProblem => {
    const { first, count } = stored;
    const part = rowsOf(problem, stored);
    if (b.transposed) return { ...problem, n: count, b: part, columns: { first, pitch: n } };
    const pitch = a.pitch ?? (a.transposed ? m : k);
    const offset = (a.offset ?? 0) + first * (a.transposed ? pitch : 1);
    return { ...problem, k: count, a: { ...a, offset, pitch }, b: part };
  });
  return { axis: b.transposed ? 'columns' : 'depth', parts };
};
