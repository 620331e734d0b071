import type { Binding, Dispatch } from '../kernel.ts';

/** A sum over the rows of a matrix that is never stored. */
export interface ColumnSum {
  readonly rows: number;
  readonly width: number;
  /** WGSL of the element at `row`, `column` (`at` = row · width + column). */
  readonly term: string;
  readonly bindings: readonly Binding[];
  /** Where the sums [width] go. */
  readonly out: string;
  /** Name of a scratch buffer of `columnScratch` bytes. */
  readonly scratch: string;
}

const blocksOf = (rows: number): number => Math.min(64, Math.max(1, Math.ceil(rows / 32)));

/** Bytes of scratch that a column sum takes. */
export const columnScratch = (rows: number, width: number): number => 4 * blocksOf(rows) * width;

/** Two passes: blocks of rows to partial sums, partial sums to the result; always in the same order. */
export const columnSum = ({ rows, width, term, bindings, out, scratch }: ColumnSum): readonly Dispatch[] => {
  const blocks = blocksOf(rows);
  const partial = `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.blocks * p.width) { return; }
  let column = i % p.width;
  let start = (i / p.width) * p.perBlock;
  var total = 0.0;
  for (var row = start; row < min(start + p.perBlock, p.rows); row++) {
    let at = row * p.width + column;
    total += ${term};
  }
  sums[i] = total;
}`;
  const joined = `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let column = group_index(group) * 64u + lane;
  if (column >= p.width) { return; }
  var total = 0.0;
  for (var block = 0u; block < p.blocks; block++) { total += sums[block * p.width + column]; }
  result[column] = total;
}`;
  return [
    {
      label: `columns of ${out}`,
      wgsl: partial,
      bindings: [...bindings, { buffer: scratch, as: 'sums', access: 'read_write', element: 'f32' }],
      params: { rows, width, blocks, perBlock: Math.ceil(rows / blocks) },
      workgroups: Math.ceil((blocks * width) / 64),
    },
    {
      label: `sum of ${out}`,
      wgsl: joined,
      bindings: [
        { buffer: scratch, as: 'sums', access: 'read', element: 'f32' },
        { buffer: out, as: 'result', access: 'read_write', element: 'f32' },
      ],
      params: { width, blocks },
      workgroups: Math.ceil(width / 64),
    },
  ];
};
