import { type ExpertMatmulPackedAttrs, type Spec, sizeOf } from '@peftjs/tensor';
import type { Binding, DeviceFacts, Dispatch, KernelPlan } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { packedWgsl } from './packed-formats.ts';
import { type PositionPart, partsOf, windowBytes } from './position-shards.ts';

const read = (buffer: string, element: string): Binding => ({ buffer, access: 'read', element });
const write = (buffer: string, element: string): Binding => ({ buffer, access: 'read_write', element });

/** Rows and columns of the output that a workgroup makes at once, and the depth that it loads at once. */
const tile = { rows: 16, columns: 64, depth: 16 };

/**
 * The rows of each expert one after the other, in their order, by one workgroup: `order`, and where each expert's begin: `starts`, with the end behind the
 * last. Every invocation counts the rows of its experts, then writes them.
 */
const sort = `
var<workgroup> counts: array<u32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let share = (p.experts + 63u) / 64u;
  let low = min(lane * share, p.experts);
  let high = min(low + share, p.experts);
  var count = 0u;
  for (var n = 0u; n < p.rows; n++) {
    let e = index[n];
    if (e >= i32(low) && e < i32(high)) { count++; }
  }
  counts[lane] = count;
  workgroupBarrier();
  var at = 0u;
  for (var i = 0u; i < lane; i++) { at += counts[i]; }
  for (var e = low; e < high; e++) {
    starts[e] = at;
    for (var n = 0u; n < p.rows; n++) {
      if (index[n] == i32(e)) {
        order[at] = n;
        at++;
      }
    }
  }
  if (lane == 63u) { starts[p.experts] = at; }
}`;

const clear = `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.rows * p.width) { return; }
  let e = index[i / p.width];
  if (e < 0 || u32(e) >= p.experts) { out0[i] = 0.0; }
}`;

/** `weight_at` of matrices that lie as floats. */
const plainWeights = (half: boolean): string => `
fn weight_at(i: u32) -> f32 {
  ${half ? 'return unpack2x16float(weight[i >> 1u])[i & 1u];' : 'return weight[i];'}
}`;

/** The same of packed ones: the level of a code times the scale of its block, which an exponent makes by its place in the bits of a float. */
const packedWeights = ({ format, block }: ExpertMatmulPackedAttrs, isExponent: boolean): string => {
  const { declarations, level } = packedWgsl(format, 'codes');
  const exponent = 'extractBits(scale[b >> 2u], (b & 3u) * 8u, 8u)';
  return `
${declarations}
fn weight_at(i: u32) -> f32 {
  let b = i / ${block}u;
  return ${level} * ${isExponent ? `bitcast<f32>(${exponent} << 23u)` : 'scale[b]'};
}`;
};

/** 16 rows of one expert times 64 columns of its matrix: an invocation makes a column. */
const multiply = (weights: string, transpose: boolean): string => `
var<workgroup> left: array<f32, ${tile.rows * tile.depth}>;
var<workgroup> right: array<f32, ${tile.columns * tile.depth}>;
${weights}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let id = group_index(group);
  let own = id / p.tiles;
  if (own >= p.count) { return; }
  let first = (id % p.tiles) * ${tile.columns}u;
  let column = first + lane;
  let begin = starts[p.first + own];
  let end = starts[p.first + own + 1u];
  let base = own * p.width * p.depth;
  for (var low = begin; low < end; low += ${tile.rows}u) {
    var sums = array<f32, ${tile.rows}>();
    for (var d = 0u; d < p.depth; d += ${tile.depth}u) {
      workgroupBarrier();
      for (var i = lane; i < ${tile.rows * tile.depth}u; i += 64u) {
        let r = low + i / ${tile.depth}u;
        let k = d + i % ${tile.depth}u;
        var value = 0.0;
        if (r < end && k < p.depth) { value = x[order[r] * p.depth + k]; }
        left[i] = value;
      }
      for (var i = lane; i < ${tile.columns * tile.depth}u; i += 64u) {
        ${
          transpose
            ? `let c = i % ${tile.columns}u;
        let k = i / ${tile.columns}u;
        let place = base + (d + k) * p.width + first + c;`
            : `let c = i / ${tile.depth}u;
        let k = i % ${tile.depth}u;
        let place = base + (first + c) * p.depth + d + k;`
        }
        var value = 0.0;
        if (first + c < p.width && d + k < p.depth) { value = weight_at(place); }
        right[k * ${tile.columns}u + c] = value;
      }
      workgroupBarrier();
      for (var k = 0u; k < ${tile.depth}u; k++) {
        let factor = right[k * ${tile.columns}u + lane];
        for (var r = 0u; r < ${tile.rows}u; r++) { sums[r] += left[r * ${tile.depth}u + k] * factor; }
      }
    }
    if (column < p.width) {
      for (var r = 0u; r < ${tile.rows}u; r++) {
        if (low + r < end) { out0[order[low + r] * p.width + column] = sums[r]; }
      }
    }
  }
}`;

/** 16 rows and 64 columns of the product of an expert's rows of both sides, which go by in their order, so that sums repeat to the bit. */
const outer = `
var<workgroup> left: array<f32, ${tile.rows * tile.depth}>;
var<workgroup> right: array<f32, ${tile.columns * tile.depth}>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let id = group_index(group);
  let across = (p.n + ${tile.columns - 1}u) / ${tile.columns}u;
  let down = (p.m + ${tile.rows - 1}u) / ${tile.rows}u;
  let own = id / (across * down);
  if (own >= p.count) { return; }
  let top = (id / across % down) * ${tile.rows}u;
  let first = (id % across) * ${tile.columns}u;
  let column = first + lane;
  let begin = starts[p.first + own];
  let end = starts[p.first + own + 1u];
  var sums = array<f32, ${tile.rows}>();
  for (var low = begin; low < end; low += ${tile.depth}u) {
    workgroupBarrier();
    for (var i = lane; i < ${tile.rows * tile.depth}u; i += 64u) {
      let k = low + i / ${tile.rows}u;
      let r = top + i % ${tile.rows}u;
      var value = 0.0;
      if (k < end && r < p.m) { value = a[order[k] * p.m + r]; }
      left[i] = value;
    }
    for (var i = lane; i < ${tile.columns * tile.depth}u; i += 64u) {
      let k = low + i / ${tile.columns}u;
      let c = first + i % ${tile.columns}u;
      var value = 0.0;
      if (k < end && c < p.n) { value = b[order[k] * p.n + c]; }
      right[i] = value;
    }
    workgroupBarrier();
    for (var k = 0u; k < ${tile.depth}u; k++) {
      let factor = right[k * ${tile.columns}u + lane];
      for (var r = 0u; r < ${tile.rows}u; r++) { sums[r] += left[k * ${tile.rows}u + r] * factor; }
    }
  }
  if (column >= p.n) { return; }
  for (var r = 0u; r < ${tile.rows}u; r++) {
    if (top + r < p.m) { out0[(own * p.m + top + r) * p.n + column] = sums[r]; }
  }
}`;

const sortPass = (rows: number, experts: number): Dispatch => ({
  label: 'experts sort',
  wgsl: sort,
  bindings: [read('index', 'i32'), write('starts', 'u32'), write('order', 'u32')],
  params: { rows, experts },
  workgroups: 1,
});

const temps = (rows: number, experts: number): NonNullable<KernelPlan['temps']> => ({
  starts: 4 * (experts + 1),
  order: 4 * Math.max(rows, 1),
});

/** Experts whose matrices may be bound at once; those that begin where WebGPU lets a binding begin. `others`: bytes of an expert in further, smaller buffers. */
const expertParts = (
  experts: number,
  bytes: number,
  { maxBindingBytes }: DeviceFacts,
  others: readonly number[] = [],
): readonly PositionPart[] => {
  if (maxBindingBytes === undefined || experts * bytes <= maxBindingBytes) return [{ first: 0, count: experts }];
  let unit = 1;
  while ([bytes, ...others].some((size) => (unit * size) % 256 !== 0)) unit *= 2;
  return partsOf(experts, Math.max(unit, Math.floor(maxBindingBytes / (bytes * unit)) * unit));
};

const windowed = (binding: Binding, part: PositionPart, experts: number, bytes: number): Binding =>
  part.count === experts ? binding : { ...binding, window: windowBytes(part, bytes) };

/** The matrices of experts: the WGSL that reads a value, and the buffers that it reads, the largest first, with the bytes of one expert in each. */
interface Matrices {
  readonly experts: number;
  readonly wgsl: string;
  readonly buffers: readonly (readonly [binding: Binding, bytes: number])[];
}

/** One pass sorts the rows by expert, the next multiplies 16 rows of one expert at a time: the matrix of an expert without rows is not read. */
const products = (x: Spec, out: Spec, transpose: boolean, matrices: Matrices, device: DeviceFacts): KernelPlan => {
  const { experts, wgsl, buffers } = matrices;
  const [rows, width] = out.shape as readonly [number, number];
  const depth = x.shape[1]!;
  if (rows * width === 0) return { dispatches: [] };
  const tiles = Math.ceil(width / tile.columns);
  const zeros: Dispatch = {
    label: 'expert_matmul clear',
    wgsl: clear,
    bindings: [read('index', 'i32'), write('out0', 'f32')],
    params: { rows, width, experts },
    workgroups: Math.ceil((rows * width) / 64),
  };
  const [most, ...others] = buffers.map(([, bytes]) => bytes);
  const parts = expertParts(experts, most!, device, others).map(
    (part): Dispatch => ({
      wgsl: multiply(wgsl, transpose),
      bindings: [
        read('x', 'f32'),
        ...buffers.map(([binding, bytes]) => windowed(binding, part, experts, bytes)),
        read('starts', 'u32'),
        read('order', 'u32'),
        write('out0', 'f32'),
      ],
      params: { width, depth, tiles, first: part.first, count: part.count },
      workgroups: part.count * tiles,
    }),
  );
  return { dispatches: [sortPass(rows, experts), zeros, ...parts], temps: temps(rows, experts) };
};

export const expertMatmulKernel: KernelFor<'expert_matmul'> = {
  kind: 'dispatch',
  plan: ({ inputs: { x, weight }, outs: [out] }, { transpose = false }, device) => {
    const [experts, ...matrix] = weight!.shape as readonly [number, ...number[]];
    const half = weight!.dtype === 'f16';
    const binding = read('weight', half ? 'u32' : 'f32');
    return products(
      x!,
      out!,
      transpose,
      { experts, wgsl: plainWeights(half), buffers: [[binding, (half ? 2 : 4) * sizeOf(matrix)]] },
      device,
    );
  },
};

export const expertMatmulPackedKernel: KernelFor<'expert_matmul_packed'> = {
  kind: 'dispatch',
  plan: ({ inputs: { x, codes, scale }, outs: [out] }, attrs, device) => {
    const isExponent = scale!.dtype === 'u8';
    const [experts, ...ofOne] = scale!.shape as readonly [number, ...number[]];
    const scales = read('scale', isExponent ? 'u32' : 'f32');
    return products(
      x!,
      out!,
      attrs.transpose ?? false,
      {
        experts,
        wgsl: packedWeights(attrs, isExponent),
        buffers: [
          [read('codes', 'u32'), sizeOf(codes!.shape.slice(1))],
          [scales, (isExponent ? 1 : 4) * sizeOf(ofOne)],
        ],
      },
      device,
    );
  },
};

export const expertOuterKernel: KernelFor<'expert_outer'> = {
  kind: 'dispatch',
  plan: ({ inputs: { a, b } }, { experts }, device) => {
    const [rows, m] = a!.shape as readonly [number, number];
    const n = b!.shape[1]!;
    if (m * n === 0) return { dispatches: [] };
    const bytes = 4 * m * n;
    const tiles = Math.ceil(n / tile.columns) * Math.ceil(m / tile.rows);
    const parts = expertParts(experts, bytes, device).map(
      (part): Dispatch => ({
        wgsl: outer,
        bindings: [
          read('a', 'f32'),
          read('b', 'f32'),
          read('starts', 'u32'),
          read('order', 'u32'),
          windowed(write('out0', 'f32'), part, experts, bytes),
        ],
        params: { m, n, first: part.first, count: part.count },
        workgroups: part.count * tiles,
      }),
    );
    return { dispatches: [sortPass(rows, experts), ...parts], temps: temps(rows, experts) };
  },
};
