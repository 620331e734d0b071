import type { Binding, Dispatch, KernelPlan } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { entry } from './scatter-add.ts';

/** Sizes of a product with a sparse matrix of `count` entries. */
export interface SparseSizes {
  /** Rows of the dense side. */
  readonly rows: number;
  readonly count: number;
  readonly outDim: number;
  readonly inDim: number;
  /** Whether the matrix is applied transposed. */
  readonly transpose: boolean;
}

/** Rows that an invocation computes at once, so that an entry is read once for all of them. */
const rowsAtOnce = 4;

/** Where an entry's value goes, and what it is multiplied with; the size of either side. */
const sides = (transpose: boolean): { readonly to: string; readonly from: string } => {
  const [row, column] = ['u32(at) / p.in_dim', 'u32(at) % p.in_dim'];
  return transpose ? { to: column, from: row } : { to: row, from: column };
};

const inside = '(at >= 0 && u32(at) < p.out_dim * p.in_dim)';

const clear = entry('p.width', '  heads[i] = 0xffffffffu;');

/** As in scatter-add: each entry's successor with the same target, in the order in which they come. */
const link = (to: string): string => `
fn target_of(at: i32) -> u32 { return select(0xffffffffu, ${to}, ${inside}); }
${entry(
  'p.count',
  `
  let own = target_of(index[i]);
  if (own == 0xffffffffu) { return; }
  var next = i + 1u;
  while (next < p.count && target_of(index[next]) != own) { next++; }
  nexts[i] = next;
  var before = i;
  while (before > 0u && target_of(index[before - 1u]) != own) { before--; }
  if (before == 0u) { heads[own] = i; }`,
)}`;

const multiply = (from: string): string => {
  const each = (line: (row: number) => string): string =>
    Array.from({ length: rowsAtOnce }, (_, row) => `  ${line(row)}`).join('\n');
  return entry(
    `p.tiles * p.width`,
    `
  let column = i % p.width;
  let first = i / p.width * ${rowsAtOnce}u;
${each((r) => `let row${r} = min(first + ${r}u, p.rows - 1u) * p.depth;\n  var sum${r} = 0.0;`)}
  for (var e = heads[column]; e < p.count; e = nexts[e]) {
    let at = index[e];
    let place = ${from};
    let value = values[e];
${each((r) => `  sum${r} += value * x[row${r} + place];`)}
  }
${each((r) => `if (first + ${r}u < p.rows) { out0[(first + ${r}u) * p.width + column] = sum${r}; }`)}`,
  );
};

const read = (buffer: string, element: string): Binding => ({ buffer, access: 'read', element });
const write = (buffer: string, element: string): Binding => ({ buffer, access: 'read_write', element });

/**
 * x times a sparse matrix without atomics, so that sums repeat to the bit, and for entries in any order: those of one output are linked
 * to a list (count · outputs reads of the index or so), then one invocation per output, for a few rows at once, walks it.
 */
const sparseMatmulPlan = ({ rows, count, outDim, inDim, transpose }: SparseSizes): KernelPlan => {
  const { to, from } = sides(transpose);
  const [width, depth] = transpose ? [inDim, outDim] : [outDim, inDim];
  if (rows * width === 0) return { dispatches: [] };
  const tiles = Math.ceil(rows / rowsAtOnce);
  const dispatch = (label: string, wgsl: string, n: number, bindings: readonly Binding[]): Dispatch => ({
    label: `sparse_matmul ${label}`,
    wgsl,
    bindings,
    params: { rows, count, width, depth, tiles, in_dim: inDim, out_dim: outDim },
    workgroups: Math.ceil(n / 64),
  });
  const dispatches = [
    dispatch('clear', clear, width, [write('heads', 'u32')]),
    ...(count > 0
      ? [dispatch('link', link(to), count, [read('index', 'i32'), write('heads', 'u32'), write('nexts', 'u32')])]
      : []),
    dispatch('multiply', multiply(from), tiles * width, [
      read('x', 'f32'),
      read('values', 'f32'),
      read('index', 'i32'),
      read('heads', 'u32'),
      read('nexts', 'u32'),
      write('out0', 'f32'),
    ]),
  ];
  return { dispatches, temps: { heads: width * 4, nexts: Math.max(count, 1) * 4 } };
};

/** One invocation per entry. */
const sample = entry(
  'p.count',
  `
  let at = index[i];
  if (!${inside}) { out0[i] = 0.0; return; }
  var sum = 0.0;
  var left = u32(at) / p.in_dim;
  var right = u32(at) % p.in_dim;
  for (var row = 0u; row < p.rows; row++) {
    sum += a[left] * b[right];
    left += p.out_dim;
    right += p.in_dim;
  }
  out0[i] = sum;`,
);

/** Single entries of a product over all rows; neighbours in the index read neighbouring places. */
const sampledMatmulPlan = ({ rows, count, outDim, inDim }: Omit<SparseSizes, 'transpose'>): KernelPlan => ({
  dispatches:
    count === 0
      ? []
      : [
          {
            wgsl: sample,
            bindings: [read('a', 'f32'), read('b', 'f32'), read('index', 'i32'), write('out0', 'f32')],
            params: { rows, count, out_dim: outDim, in_dim: inDim },
            workgroups: Math.ceil(count / 64),
          },
        ],
});

export const sparseMatmulKernel: KernelFor<'sparse_matmul'> = {
  kind: 'dispatch',
  plan: ({ inputs: { x, index } }, { transpose = false, ...sizes }) =>
    sparseMatmulPlan({ ...sizes, transpose, rows: x!.shape[0]!, count: index!.shape[0]! }),
};

export const sampledMatmulKernel: KernelFor<'sampled_matmul'> = {
  kind: 'dispatch',
  plan: ({ inputs: { a, index } }, sizes) =>
    sampledMatmulPlan({ ...sizes, rows: a!.shape[0]!, count: index!.shape[0]! }),
};
