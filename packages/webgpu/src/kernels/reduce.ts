import { type Shape, type Spec, sizeOf } from '@peftjs/tensor';
import { stridesOf } from '@peftjs/tensor/op';
import type { Binding, DeviceFacts, Dispatch, KernelPlan } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { positionParts, windowOf } from './position-shards.ts';
import { type Walk, walkFunction } from './walk.ts';

/** How a reduction folds. */
export interface Fold {
  /** The start of `acc`: a number, or `first`, one of the values, where folding a value twice changes nothing. */
  readonly start: string;
  /** The fold of `acc` and `x`. */
  readonly step: string;
  /** The expression of `acc` that is stored at the end. Default: itself. */
  readonly finish?: string;
  /** Parameters of `finish`, from how many values fall into one. */
  readonly params?: (reduced: number) => NonNullable<Dispatch['params']>;
}

/** One pass: `outputs` folds, each of `reduced` values in `parts` pieces. */
interface Pass {
  readonly from: string;
  readonly to: string;
  readonly kept: Walk;
  readonly reduced: Walk;
  readonly parts: number;
  readonly last: boolean;
  readonly element: string;
  /** The part of `from` that is bound. Default: all. */
  readonly window?: Binding['window'];
  /** Folds of `to` before these. Default 0. */
  readonly before?: number;
}

const lanes = 64;
/** Folds of fewer values are not worth a workgroup. */
const worthTree = 64;
/** With fewer outputs than this, one invocation each leaves a device idle. */
const fewOutputs = 1024;
/** Values that a workgroup folds in one pass before a second stage joins several. */
const pieceSize = 16384;

/** The axes of one kind as few walks as can be: neighbours join, size 1 goes. */
const runs = (shape: Shape, wanted: (axis: number) => boolean): Walk => {
  const strides = stridesOf(shape);
  const out: { size: number; stride: number }[] = [];
  let joins = false;
  for (const [axis, size] of shape.entries()) {
    if (size === 1) continue;
    if (!wanted(axis)) {
      joins = false;
      continue;
    }
    const before = out.at(-1);
    if (joins && before) out[out.length - 1] = { size: before.size * size, stride: strides[axis]! };
    else out.push({ size, stride: strides[axis]! });
    joins = true;
  }
  return { sizes: out.map((r) => r.size), strides: out.map((r) => r.stride) };
};

const alone = `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * ${lanes}u + lane;
  if (i >= p.outputs) { return; }
  emit(p.before + i, finish(fold_range(i, 0u, p.reduced, 1u)));
}`;

/** Every lane folds a stride, then the lanes join as a tree, always in the same order. */
const tree = (element: string): string => `
var<workgroup> partial: array<${element}, ${lanes}>;
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let g = group_index(group);
  if (g >= p.outputs * p.parts) { return; }
  let begin = (g % p.parts) * p.piece;
  partial[lane] = fold_range(g / p.parts, begin + lane, min(begin + p.piece, p.reduced), ${lanes}u);
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
    if (lane < half) { partial[lane] = fold(partial[lane], partial[lane + half]); }
    workgroupBarrier();
  }
  if (lane == 0u) { emit(p.before + g, finish(partial[0])); }
}`;

const passDispatch = ({ start, step, finish = 'acc', params }: Fold, pass: Pass, cooperative: boolean): Dispatch => {
  const { element, parts } = pass;
  const kept = walkFunction('kept', pass.kept);
  const along = walkFunction('along', pass.reduced);
  const outputs = sizeOf(pass.kept.sizes);
  const reduced = sizeOf(pass.reduced.sizes);
  const wgsl = `${kept.wgsl}
${along.wgsl}
fn fold(acc: ${element}, x: ${element}) -> ${element} { return ${step}; }
fn finish(acc: ${element}) -> ${element} { return ${pass.last ? finish : 'acc'}; }
fn fold_range(output: u32, begin: u32, end: u32, step: u32) -> ${element} {
  let base = kept(output);
  var acc: ${element} = ${start.replace('first', 'x[base]')};
  for (var j = begin; j < end; j += step) { acc = fold(acc, x[base + along(j)]); }
  return acc;
}
${cooperative ? tree(element) : alone}`;
  const bindings: readonly Binding[] = [
    { buffer: pass.from, as: 'x', access: 'read', element, ...(pass.window && { window: pass.window }) },
    { buffer: pass.to, as: 'out0', access: 'read_write', element },
  ];
  return {
    wgsl,
    bindings,
    emits: pass.to,
    params: {
      ...kept.params,
      ...along.params,
      outputs,
      reduced,
      before: pass.before ?? 0,
      ...(cooperative && { parts, piece: Math.ceil(reduced / parts) }),
      ...(pass.last && params?.(reduced)),
    },
    workgroups: cooperative ? outputs * parts : Math.ceil(outputs / lanes),
  };
};

/** Whether a workgroup per output pays: long folds with few outputs, or along rows, where its lanes read neighbours. */
const isCooperative = (outputs: number, reduced: number, alongRows: boolean, { software }: DeviceFacts): boolean =>
  reduced >= worthTree && (outputs < fewOutputs || (alongRows && !software));

/** A part of the rows of what is reduced, along its first axis that has several. */
interface Shard {
  readonly first: number;
  readonly rows: number;
  readonly kept: Walk;
  readonly reduced: Walk;
  readonly window: Binding['window'];
  /** Whether the rows are reduced: the folds of all parts are then folded. */
  readonly joins: boolean;
}

/** The parts of a tensor that is more than may be bound; null where it is not. */
const shardsOf = ({ shape }: Spec, axes: readonly number[], maxBytes?: number): readonly Shard[] | null => {
  const axis = shape.findIndex((size) => size > 1);
  const size = sizeOf(shape);
  const row = size / (shape[axis] ?? 1);
  const parts = positionParts(size, { bytes: 4, maxBytes, unit: row });
  if (axis < 0 || parts.length === 1) return null;
  return parts.map((part): Shard => {
    const rows = part.count / row;
    const own = shape.map((d, i) => (i === axis ? rows : d));
    return {
      first: part.first / row,
      rows,
      kept: runs(own, (i) => !axes.includes(i)),
      reduced: runs(own, (i) => axes.includes(i)),
      window: windowOf(part, size, 4).window,
      joins: axes.includes(axis),
    };
  });
};

/** A pass per part: of the outputs that are made of its rows; or of a piece of every fold, which a last pass folds. */
const inShards = (fold: Fold, whole: Pass, shards: readonly Shard[], device: DeviceFacts): KernelPlan => {
  const [outputs, reduced] = [sizeOf(whole.kept.sizes), sizeOf(whole.reduced.sizes)];
  const { joins } = shards[0]!;
  const passes = shards.map((shard, i) => {
    const own = { ...whole, kept: shard.kept, reduced: shard.reduced, window: shard.window };
    const [made, folded] = [sizeOf(own.kept.sizes), sizeOf(own.reduced.sizes)];
    const pass: Pass = joins
      ? { ...own, to: 'pieces', last: false, before: i * outputs }
      : { ...own, before: shard.first * (made / shard.rows) };
    return passDispatch(fold, pass, isCooperative(made, folded, own.reduced.strides.at(-1) === 1, device));
  });
  if (!joins) return { dispatches: passes };
  const kept: Walk = { sizes: [outputs], strides: [1] };
  const pieces: Walk = { sizes: [shards.length], strides: [outputs] };
  const finish = fold.params ? { ...fold, params: () => fold.params!(reduced) } : fold;
  return {
    dispatches: [...passes, passDispatch(finish, { ...whole, from: 'pieces', kept, reduced: pieces }, false)],
    temps: { pieces: 4 * outputs * shards.length },
  };
};

/**
 * The kernel of a reduction: one invocation per output; or a workgroup per output joining its lanes as a tree; or, for few outputs of very
 * many values, several workgroups per output and a second pass over their results. The order of folding is fixed, so results repeat exactly.
 */
export const reduceKernel = (fold: Fold): KernelFor<'sum'> => ({
  kind: 'dispatch',
  emits: true,
  plan: ({ inputs: { x } }, { axes }, device): KernelPlan => {
    const { shape, dtype: element } = x!;
    const kept = runs(shape, (axis) => !axes.includes(axis));
    const along = runs(shape, (axis) => axes.includes(axis));
    const [outputs, reduced] = [sizeOf(kept.sizes), sizeOf(along.sizes)];
    if (outputs === 0) return { dispatches: [] };
    const only: Pass = { from: 'x', to: 'out0', kept, reduced: along, parts: 1, last: true, element };
    const shards = shardsOf(x!, axes, device.maxBindingBytes);
    if (shards) return inShards(fold, only, shards, device);
    if (!isCooperative(outputs, reduced, along.strides.at(-1) === 1, device))
      return { dispatches: [passDispatch(fold, only, false)] };
    const parts = outputs < lanes ? Math.min(Math.ceil(reduced / pieceSize), 1024) : 1;
    if (parts === 1) return { dispatches: [passDispatch(fold, only, true)] };
    const first: Pass = { ...only, to: 'pieces', parts, last: false };
    const joined: Walk = { sizes: [parts], strides: [1] };
    const second: Pass = { ...only, from: 'pieces', kept: { sizes: [outputs], strides: [parts] }, reduced: joined };
    const finish = fold.params ? { ...fold, params: () => fold.params!(reduced) } : fold;
    return {
      dispatches: [passDispatch(fold, first, true), passDispatch(finish, second, true)],
      temps: { pieces: outputs * parts * 4 },
    };
  },
});
