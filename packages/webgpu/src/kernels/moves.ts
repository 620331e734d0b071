import { bytesPerElement, sizeOf } from '@peftjs/tensor';
import { blocksOf } from '@peftjs/tensor/executor';
import { stridesOf } from '@peftjs/tensor/op';
import { gatherShards } from './gather-shards.ts';
import type { KernelFor } from './kernel-for.ts';
import { movePlan, splitPosition } from './move.ts';
import { walkFunction } from './walk.ts';

export const concatKernel: KernelFor<'concat'> = {
  kind: 'dispatch',
  plan: ({ inputs, outs }, attrs) => {
    const out = outs[0]!;
    const { axis, size, inner } = blocksOf('concat', inputs.a!, attrs.axis);
    const body = `${splitPosition}
  if (row < p.first) { return load_a((block * p.first + row) * p.inner + column); }
  return load_b((block * (p.rows - p.first) + row - p.first) * p.inner + column);`;
    return movePlan({ out, sources: ['a', 'b'], body, params: { inner, rows: out.shape[axis]!, first: size } });
  },
};

export const padKernel: KernelFor<'pad'> = {
  kind: 'dispatch',
  plan: ({ inputs, outs }, { axis, before, after }) => {
    const { size, inner } = blocksOf('pad', inputs.x!, axis);
    const body = `${splitPosition}
  if (row < p.before || row >= p.before + p.from_rows) { return 0u; }
  return load_x((block * p.from_rows + row - p.before) * p.inner + column);`;
    return movePlan({
      out: outs[0]!,
      sources: ['x'],
      body,
      params: { inner, rows: before + size + after, from_rows: size, before },
    });
  },
};

export const sliceKernel: KernelFor<'slice'> = {
  kind: 'dispatch',
  plan: ({ inputs, outs }, { axis, start, end }) => {
    const { size, inner } = blocksOf('slice', inputs.x!, axis);
    const body = `${splitPosition}
  return load_x((block * p.from_rows + row + p.start) * p.inner + column);`;
    return movePlan({
      out: outs[0]!,
      sources: ['x'],
      body,
      params: { inner, rows: end - start, from_rows: size, start },
    });
  },
};

export const transposeKernel: KernelFor<'transpose'> = {
  kind: 'dispatch',
  plan: ({ inputs, outs }, { perm }) => {
    const out = outs[0]!;
    const from = stridesOf(inputs.x!.shape);
    const origin = walkFunction('origin', { sizes: out.shape, strides: perm.map((axis) => from[axis]!) });
    return movePlan({
      out,
      sources: ['x'],
      body: '  return load_x(origin(i));',
      declarations: origin.wgsl,
      params: origin.params,
    });
  },
};

export const gatherKernel: KernelFor<'gather'> = {
  kind: 'dispatch',
  plan: ({ inputs, outs }, _, { maxBindingBytes = Number.POSITIVE_INFINITY }) => {
    const [rows, ...rest] = inputs.table!.shape;
    const bytes = bytesPerElement(inputs.table!.dtype);
    if (bytes === 4 && bytes * sizeOf(inputs.table!.shape) > maxBindingBytes) {
      const sizes = { rows: rows!, width: sizeOf(rest), size: sizeOf(outs[0]!.shape) };
      const dispatches = gatherShards(sizes, maxBindingBytes);
      if (dispatches) return { dispatches };
    }
    const body = `
  let row = index[i / p.width];
  if (row < 0 || row >= i32(p.rows)) { return 0u; }
  return load_table(u32(row) * p.width + i % p.width);`;
    return movePlan({
      out: outs[0]!,
      sources: ['table'],
      indices: { index: 'i32' },
      body,
      params: { rows: rows!, width: sizeOf(rest) },
    });
  },
};

export const takeAlongAxisKernel: KernelFor<'take_along_axis'> = {
  kind: 'dispatch',
  plan: ({ inputs, outs }, attrs) => {
    const out = outs[0]!;
    const { axis, size, inner } = blocksOf('takeAlongAxis', inputs.x!, attrs.axis);
    const body = `${splitPosition}
  let at = index[i];
  if (at < 0 || at >= i32(p.from_rows)) { return 0u; }
  return load_x((block * p.from_rows + u32(at)) * p.inner + column);`;
    return movePlan({
      out,
      sources: ['x'],
      indices: { index: 'i32' },
      body,
      params: { inner, rows: out.shape[axis]!, from_rows: size },
    });
  },
};
