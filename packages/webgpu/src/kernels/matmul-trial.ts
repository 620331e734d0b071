import { packedFormats } from '@peftjs/tensor';
import { batchCount, type MatmulProblem, type MatmulSide } from './matmul-problem.ts';
import { type Packing, scaleBytes } from './packing.ts';

/** Operations of a trial, at most: milliseconds on a small GPU. */
const maxFlops = 2 ** 32;
/** Bytes of what a trial reads and writes, at most. */
const maxBytes = 2 ** 26;

interface Sizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly count: number;
}

/** Half of a size, a multiple of four only where the size is one: which kernels can take it depends on that. */
const halved = (size: number): number => {
  const h = Math.ceil(size / 2);
  return size % 4 === 0 ? Math.ceil(h / 4) * 4 : h % 4 === 0 ? h + 1 : h;
};

/** The product's sizes, the longest axes halved until it is small enough. */
const trialSizes = (sizes: Sizes, bytesOf: (sizes: Sizes) => number): Sizes => {
  const { m, n, k, count } = sizes;
  const longest = Math.max(m, n, k);
  const small = 2 * m * n * k * count <= maxFlops && bytesOf(sizes) <= maxBytes;
  if (small || (count === 1 && longest <= 64)) return sizes;
  if (count > 1) return trialSizes({ ...sizes, count: Math.ceil(count / 2) }, bytesOf);
  const axis = m === longest ? 'm' : n === longest ? 'n' : 'k';
  return trialSizes({ ...sizes, [axis]: halved(longest) }, bytesOf);
};

/** How a packed side is read, without the buffers that hold it. */
const packed = ({ format, block, hasMin = false }: Packing): Pick<Packing, 'format' | 'block' | 'hasMin'> => ({
  format,
  block,
  hasMin,
});

/** A side of a trial: how it lies, and the bytes of its buffers. */
const trialSide = (
  side: 'a' | 'b',
  { packing, half = false, transposed = false, batchStrides = [] }: MatmulSide,
  { m, n, k, count }: Sizes,
): { readonly spec: MatmulSide; readonly buffers: Readonly<Record<string, number>> } => {
  const [rows, columns] = side === 'a' ? [m, k] : [k, n];
  const [stored, length] = transposed ? [columns, rows] : [rows, columns];
  // A packed row ends with a whole block.
  const pitch = packing ? Math.ceil(length / packing.block) * packing.block : length;
  const shared = batchStrides.every((stride) => stride === 0);
  const elements = stored * pitch * (shared ? 1 : count);
  const format = packing && packedFormats[packing.format];
  const bits = format?.lowBits ?? (half ? 16 : 32);
  const [scales, high] = [`${side}_scales`, `${side}_high`];
  return {
    spec: {
      buffer: side,
      transposed,
      half,
      ...(packing && {
        packing: { ...packed(packing), ...(packing.scales && { scales }), ...(packing.high && { high }) },
        pitch,
      }),
      ...(count > 1 && { batchStrides: [shared ? 0 : stored * pitch] }),
    },
    buffers: {
      [side]: Math.ceil((elements * bits) / 8),
      ...(packing?.scales && { [scales]: scaleBytes(packing) * Math.ceil(elements / packing.block) }),
      ...(packing?.high && { [high]: Math.ceil((elements * format!.highBits) / 8) }),
    },
  };
};

/** A problem by itself, over buffers of its own and not too large, and their bytes. What limits it at run time or is added to is left out. */
export const matmulTrial = (
  problem: MatmulProblem,
): { readonly problem: MatmulProblem; readonly buffers: Readonly<Record<string, number>> } => {
  const layOut = (sizes: Sizes) => {
    const [a, b] = [trialSide('a', problem.a, sizes), trialSide('b', problem.b, sizes)];
    const { m, n, count } = sizes;
    const factors = problem.factors && { factors: 4 * m };
    return { a, b, buffers: { ...a.buffers, ...b.buffers, ...factors, out0: 4 * m * n * count } };
  };
  const sizes = trialSizes({ m: problem.m, n: problem.n, k: problem.k, count: batchCount(problem) }, (s) =>
    Object.values(layOut(s).buffers).reduce((x, d) => x + d, 0),
  );
  const { a, b, buffers } = layOut(sizes);
  const { m, n, k, count } = sizes;
  return {
    problem: {
      m,
      n,
      k,
      ...(count > 1 && { batch: [count] }),
      a: a.spec,
      b: b.spec,
      out: 'out0',
      ...(problem.factors && { factors: { buffer: 'factors', first: 0 } }),
    },
    buffers,
  };
};

const rounded = (size: number): number => 2 ** Math.ceil(Math.log2(size));

const sideKey = ({ packing, half, transposed }: MatmulSide): string =>
  [
    packing?.format ?? (half ? 'f16' : 'f32'),
    ...(packing?.hasMin ? ['minima'] : []),
    ...(transposed ? ['transposed'] : []),
  ].join(' ');

/**
 * Problems with the same key take the same way. Sizes are rounded up to powers of two: what is fastest changes with the number of tiles
 * and the length of the sums, both smooth within a factor of two, and the limits of the variants are powers of two themselves.
 */
export const matmulKey = (problem: MatmulProblem): string => {
  const { m, n, k, a, b } = problem;
  const sizes = [m, k, n].map(rounded).join('x');
  return ['matmul', sizes, `batch ${rounded(batchCount(problem))}`, sideKey(a), sideKey(b)].join(', ');
};
