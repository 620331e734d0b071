import { type Spec, sizeOf } from '@peftjs/tensor';
import type { Binding, DeviceFacts, Dispatch } from '../kernel.ts';

/** A pass over the rows of a matrix, in which the lanes of a row share sums and maxima. */
export interface RowPass {
  readonly label?: string;
  readonly rows: number;
  /** Values per row: how many lanes a row gets. */
  readonly width: number;
  readonly bindings: readonly Binding[];
  readonly params?: Dispatch['params'];
  /** The output that the body writes through `emit` alone. */
  readonly emits?: string;
  /** Declarations before the entry point. */
  readonly declarations?: string;
  /**
   * Statements for one row: `row`, its index; `lane`; loops run `for (var j = first; j < p.width; j += step)`;
   * `row_sum(v, lane)` and `row_max(v, lane)` join all lanes of the row.
   */
  readonly body: string;
}

/** The lowest f32: where a maximum starts. */
export const lowest = '-3.4028234e38';

/** Rows up to this width take one invocation each, without workgroup memory. */
const narrow = 64;

const joinLanes = (name: string, lanes: number, join: (a: string, b: string) => string): string => `
fn ${name}(v: f32, lane: u32) -> f32 {
  partials[lane] = v;
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
    if (lane < half) { partials[lane] = ${join('partials[lane]', 'partials[lane + half]')}; }
    workgroupBarrier();
  }
  let joined = partials[0];
  workgroupBarrier();
  return joined;
}`;

const alone = `
fn row_sum(v: f32, lane: u32) -> f32 { return v; }
fn row_max(v: f32, lane: u32) -> f32 { return v; }`;

const together = (lanes: number): string => `
var<workgroup> partials: array<f32, ${lanes}>;
${joinLanes('row_sum', lanes, (a, b) => `${a} + ${b}`)}
${joinLanes('row_max', lanes, (a, b) => `max(${a}, ${b})`)}`;

/** One invocation per narrow row, or one workgroup per row with reductions by a tree, always in the same order. */
export const rowDispatch = (
  { label, rows, width, bindings, params, emits, declarations = '', body }: RowPass,
  { maxInvocations }: DeviceFacts,
): Dispatch => {
  const lanes = width <= narrow ? 1 : width <= 1024 ? 64 : Math.min(256, maxInvocations);
  const wgsl = `${declarations}
${lanes === 1 ? alone : together(lanes)}
@compute @workgroup_size(${lanes === 1 ? 64 : lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = ${lanes === 1 ? 'group_index(group) * 64u + lane' : 'group_index(group)'};
  if (row >= p.rows) { return; }
  let first = ${lanes === 1 ? '0u' : 'lane'};
  let step = ${lanes}u;
${body}
}`;
  return {
    ...(label !== undefined && { label }),
    wgsl,
    bindings,
    ...(emits !== undefined && { emits }),
    params: { rows, width, ...params },
    workgroups: lanes === 1 ? Math.ceil(rows / 64) : rows,
  };
};

/** Rows and width of a tensor seen as a matrix of its last axis. */
export const rowsOf = ({ shape }: Spec): { readonly rows: number; readonly width: number } => {
  const width = shape.at(-1)!;
  return { rows: width === 0 ? 0 : sizeOf(shape) / width, width };
};
