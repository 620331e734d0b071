import type { Binding, Dispatch } from '../kernel.ts';
import { type Packing, packingBindings, packingParams, unpackFourWgsl, unpackWgsl } from './packing.ts';

/** One side of a product: where its matrices lie. */
export interface MatmulSide {
  readonly buffer: string;
  /** How its elements are packed. Default: they are not. */
  readonly packing?: Packing;
  /** Its elements, unless packed, are f16, two to a word, and read without a device feature. Default: they are f32. */
  readonly half?: boolean;
  /** Elements from one stored row to the next. Default: they touch. */
  readonly pitch?: number;
  /** The part of the buffer that is bound, in bytes; elements count from there. Default: all. */
  readonly window?: { readonly offset: number; readonly bytes: number };
  /** Elements before the first matrix. Default 0. */
  readonly offset?: number;
  /** Stored as columns by rows. */
  readonly transposed?: boolean;
  /** Elements from one matrix to the next along each batch axis; 0 repeats one. */
  readonly batchStrides?: readonly number[];
}

/** out[batch] (+)= a[batch] · b[batch], a [m, k], b [k, n], over named buffers: what an op asks the product kernels to do. */
export interface MatmulProblem {
  readonly label?: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Sizes of the batch axes. Default none. */
  readonly batch?: readonly number[];
  readonly a: MatmulSide;
  readonly b: MatmulSide;
  readonly out: string;
  /** Where the columns lie in a wider output. Default: they are all there is. */
  readonly columns?: { readonly first: number; readonly pitch: number };
  /** The part of `out` that is bound, in bytes; elements count from there. Default: all. */
  readonly outWindow?: { readonly offset: number; readonly bytes: number };
  /** Elements of `out` before the first. Default 0. */
  readonly outOffset?: number;
  /** Adds to what `out` holds. */
  readonly accumulate?: boolean;
  /**
   * Powers of two, one for each row of a from the `first`, that bring its values to f16's range (`rowFactors`): such a product may be computed in f16. Default: it may not.
   */
  readonly factors?: { readonly buffer: string; readonly first: number };
  /** Shortens an axis at run time: only the first `counts[0] − first` of it (none below 0). Rows of `out` beyond it are not written. */
  readonly limit?: { readonly axis: 'm' | 'k'; readonly counts: string; readonly first: number };
}

/** A variant of the product: how outputs are shared among invocations. */
export interface MatmulVariant {
  /** Tells it from the others that compute a product. */
  readonly name: string;
  /** Rows and columns of one unit of work: what a workgroup computes, or one invocation of `perGroup`. */
  readonly rows: number;
  readonly columns: number;
  /** Units per workgroup. */
  readonly perGroup: number;
  /** Declarations before, and the entry point's body: see `matmulDispatch` for the names it may use. */
  readonly declarations?: string;
  readonly lanes: number;
  /** Whether it works by subgroups; `place` is then a lane's index in its own. */
  readonly subgroups?: boolean;
  /** Whether it reads four elements at a time, both sides allowing it (`inFours`). */
  readonly vectors?: boolean;
  /** Whether it computes in f16, of a problem with `factors`. */
  readonly half?: boolean;
  readonly body: string;
}

const axes = (problem: MatmulProblem): readonly number[] => problem.batch ?? [];

const product = (sizes: readonly number[]): number => sizes.reduce((x, d) => x * d, 1);

/** Matrices of a product's batch. */
export const batchCount = (problem: MatmulProblem): number => product(axes(problem));

const batchOffset = (side: 'a' | 'b', problem: MatmulProblem): string =>
  [
    `p.${side}Offset`,
    ...axes(problem).map((_, i) => `((batch / p.batchStep${i}) % p.batch${i}) * p.${side}Batch${i}`),
  ].join(' + ');

const sideParams = (
  side: 'a' | 'b',
  { packing, pitch, offset = 0, transposed = false, batchStrides = [] }: MatmulSide,
  rows: number,
  columns: number,
) => ({
  [`${side}Offset`]: offset,
  [`${side}Row`]: transposed ? 1 : (pitch ?? columns),
  [`${side}Column`]: transposed ? (pitch ?? rows) : 1,
  ...Object.fromEntries(batchStrides.map((stride, i) => [`${side}Batch${i}`, stride])),
  ...(packing && packingParams(side, packing)),
});

/** `at_a(i)` and `at_b(i)`: the i-th element that is stored of a side. */
const fetch = (side: 'a' | 'b', { packing, half }: MatmulSide): string => {
  if (packing) return unpackWgsl(side, packing);
  const element = half ? `unpack2x16float(${side}[i >> 1u])[i & 1u]` : `${side}[i]`;
  return `fn at_${side}(i: u32) -> f32 { return ${element}; }`;
};

/** `at4_a(i)` and `at4_b(i)`: four elements from the i-th, a multiple of four. */
const fetchFour = (side: 'a' | 'b', { packing, half }: MatmulSide): string => {
  if (packing) return unpackFourWgsl(side, packing);
  const element = half
    ? `vec4<f32>(unpack2x16float(${side}[i >> 2u].x), unpack2x16float(${side}[i >> 2u].y))`
    : `${side}[i >> 2u]`;
  return `fn at4_${side}(i: u32) -> vec4<f32> { return ${element}; }`;
};

const elementOf = ({ packing, half }: MatmulSide, vectors: boolean): string => {
  if (packing) return 'u32';
  if (half) return vectors ? 'vec2<u32>' : 'u32';
  return vectors ? 'vec4<f32>' : 'f32';
};

const sideBindings = (side: 'a' | 'b', spec: MatmulSide, vectors: boolean): Binding[] => {
  const { buffer, packing, window } = spec;
  return [
    { buffer, as: side, access: 'read', element: elementOf(spec, vectors), ...(window && { window }) },
    ...(packing ? packingBindings(side, packing) : []),
  ];
};

/** The size of the axis along which neighbours of a side are neighbours in memory. */
const storedLength = (side: 'a' | 'b', { m, n, k, a, b }: MatmulProblem): number =>
  side === 'a' ? (a.transposed ? m : k) : b.transposed ? k : n;

/** Whether both sides can be read four elements at a time: rows are whole fours and begin at one, and none is cut short at run time. */
export const inFours = (problem: MatmulProblem): boolean => {
  const { a, b, limit } = problem;
  const alongDepth = !a.transposed || b.transposed;
  return (
    !(limit?.axis === 'k' && alongDepth) &&
    (['a', 'b'] as const).every((side) => {
      const { pitch = 0, offset = 0, batchStrides = [], packing } = problem[side];
      const places = [storedLength(side, problem), pitch, offset, packing?.block ?? 0, ...batchStrides];
      return places.every((place) => place % 4 === 0);
    })
  );
};

/** Whether a product is written once and as a whole, so that other ops may join where it is stored. */
export const emitsOut = ({ out, accumulate, limit, outWindow }: MatmulProblem): boolean =>
  out.startsWith('out') && !accumulate && !limit && !outWindow;

const limits = ({ limit }: MatmulProblem): string => {
  const left = 'select(0u, counts[0] - p.first, counts[0] > p.first)';
  return `
  let rows = ${limit?.axis === 'm' ? `min(p.m, ${left})` : 'p.m'};
  let depth = ${limit?.axis === 'k' ? `min(p.k, ${left})` : 'p.k'};`;
};

const bindingsOf = (
  { a, b, out, outWindow, limit, factors }: MatmulProblem,
  { vectors = false, half = false }: MatmulVariant,
): Binding[] => [
  ...sideBindings('a', a, vectors),
  ...sideBindings('b', b, vectors),
  ...(factors && half ? [{ buffer: factors.buffer, as: 'factors', access: 'read', element: 'f32' } as const] : []),
  ...(limit ? [{ buffer: limit.counts, as: 'counts', access: 'read', element: 'u32' } as const] : []),
  { buffer: out, as: 'out', access: 'read_write', element: 'f32', ...(outWindow && { window: outWindow }) },
];

const batchParams = (batch: readonly number[]): Record<string, number> =>
  Object.fromEntries(
    batch.flatMap((size, i) => [
      [`batch${i}`, size],
      [`batchStep${i}`, product(batch.slice(i + 1))],
    ]),
  );

/** Parts of the depth begin at multiples of this. */
const partStep = 16;

/**
 * The dispatch of one variant. Its body runs with `lane`, `m0` and `n0` (the unit's first row and column), `rows` (rows to compute),
 * `k0` and `k1` (the part of the depth to sum), `aBase` and `bBase`; elements are `at_a(aBase + m·p.aRow + k·p.aColumn)` and
 * `at_b(bBase + k·p.bRow + n·p.bColumn)`, unpacked where a side is packed, or with `vectors` four at
 * a time by `at4_a` and `at4_b`; results go through `store(outBase, m, n, value)` for m < rows, n < p.n.
 * With `splits` above 1, part s of the depth writes its own copy of the outputs, one after the other.
 */
export const matmulDispatch = (problem: MatmulProblem, variant: MatmulVariant, splits: number): Dispatch => {
  const { m, n, k, a, b, accumulate, limit, factors, columns, outOffset = 0, label = 'matmul' } = problem;
  const { vectors = false, half = false } = variant;
  const batch = axes(problem);
  const batches = batchCount(problem);
  const [tilesM, tilesN] = [Math.ceil(m / variant.rows), Math.ceil(n / variant.columns)];
  const emits = splits === 1 && emitsOut(problem);
  const units = tilesM * tilesN * splits * batches;
  const wgsl = `${variant.subgroups ? 'enable subgroups;\n' : ''}${variant.declarations ?? ''}
${(vectors ? fetchFour : fetch)('a', a)}
${(vectors ? fetchFour : fetch)('b', b)}
fn store(base: u32, m: u32, n: u32, value: f32) {
  let at = base + m * p.outRow + p.firstColumn + n;
  ${accumulate && splits === 1 ? 'out[at] += value' : emits ? 'emit(at, value)' : 'out[at] = value'};
}
@compute @workgroup_size(${variant.lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32${variant.subgroups ? ', @builtin(subgroup_invocation_id) place: u32' : ''}) {
  let unit = group_index(group)${variant.perGroup > 1 ? ` * ${variant.perGroup}u + lane` : ''};
  if (unit >= p.units) { return; }
  let n0 = (unit % p.tilesN) * ${variant.columns}u;
  let m0 = ((unit / p.tilesN) % p.tilesM) * ${variant.rows}u;
  let part = (unit / (p.tilesN * p.tilesM)) % p.splits;
  let batch = unit / (p.tilesN * p.tilesM * p.splits);${limits(problem)}
  if (m0 >= rows) { return; }
  let k0 = min(part * p.perSplit, depth);
  let k1 = min(k0 + p.perSplit, depth);
  let aBase = ${batchOffset('a', problem)};
  let bBase = ${batchOffset('b', problem)};
  let outBase = p.outOffset + (part * p.batches + batch) * p.m * p.outRow;
${variant.body}
}`;
  return {
    label,
    wgsl,
    bindings: bindingsOf(problem, variant),
    ...(emits && { emits: problem.out }),
    params: {
      m,
      n,
      k,
      tilesM,
      tilesN,
      units,
      splits,
      perSplit: Math.ceil(k / splits / partStep) * partStep,
      batches,
      ...batchParams(batch),
      outRow: columns?.pitch ?? n,
      firstColumn: columns?.first ?? 0,
      outOffset,
      ...sideParams('a', a, m, k),
      ...sideParams('b', b, k, n),
      ...(limit && { first: limit.first }),
      ...(half && { firstFactor: factors!.first, nan: 0x7fc00000 }),
    },
    flops: 2 * m * n * k * batches,
    workgroups: Math.ceil(units / variant.perGroup),
  };
};
