import { bytesPerElement, type Spec, sizeOf } from '@peftjs/tensor';
import { blocksOf } from '@peftjs/tensor/executor';
import type { KernelPlan } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { movePlan, splitPosition } from './move.ts';

/** Values per row, rows of x, and rows of value. */
type SliceParams = Readonly<Record<'inner' | 'rows' | 'written', number>>;

const begin = 'let begin = u32(clamp(start[0], 0, i32(p.rows - p.written)));';

/** Writes the slice alone over a copy of x, which is none where x is a variable that takes the result. */
const slicePlan = (size: number, params: SliceParams): KernelPlan => {
  const wgsl = `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.size) { return; }
  ${begin}
  let row = i / p.inner;
  out0[((row / p.written) * p.rows + begin + row % p.written) * p.inner + i % p.inner] = value[i];
}`;
  const bindings = [
    { buffer: 'value', access: 'read', element: 'u32' },
    { buffer: 'start', access: 'read', element: 'i32' },
    { buffer: 'out0', access: 'read_write', element: 'u32' },
  ] as const;
  return {
    dispatches: [{ wgsl, bindings, params: { ...params, size }, workgroups: Math.ceil(size / 64) }],
    startsFrom: { out0: 'x' },
  };
};

/** Writes all of x: with several small elements to a word, the edges of a slice may lie inside words. */
const wholePlan = (out: Spec, params: SliceParams): KernelPlan => {
  const body = `${splitPosition}
  ${begin}
  if (row < begin || row >= begin + p.written) { return load_x(i); }
  return load_value((block * p.written + row - begin) * p.inner + column);`;
  return movePlan({ out, sources: ['x', 'value'], indices: { start: 'i32' }, body, params });
};

export const sliceUpdateKernel: KernelFor<'slice_update'> = {
  kind: 'dispatch',
  plan: ({ inputs, outs }, attrs) => {
    const { axis, size, inner } = blocksOf('sliceUpdate', inputs.x!, attrs.axis);
    const params = { inner, rows: size, written: inputs.value!.shape[axis]! };
    const isSmall = bytesPerElement(outs[0]!.dtype) < 4;
    return isSmall ? wholePlan(outs[0]!, params) : slicePlan(sizeOf(inputs.value!.shape), params);
  },
};
