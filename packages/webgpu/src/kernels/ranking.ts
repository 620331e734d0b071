import { sizeOf } from '@peftjs/tensor';
import { blocksOf } from '@peftjs/tensor/executor';
import type { KernelFor } from './kernel-for.ts';
import { rankDispatch } from './rank.ts';

export const argmaxKernel: KernelFor<'argmax'> = {
  kind: 'dispatch',
  plan: ({ inputs: { x }, outs }, { axis }) => {
    const { size, inner } = blocksOf('argmax', x!, axis);
    const rows = sizeOf(outs[0]!.shape);
    if (rows === 0) return { dispatches: [] };
    return {
      dispatches: [rankDispatch({ rows, size, inner, count: 1, element: x!.dtype, values: null, indices: 'out0' })],
    };
  },
};

export const topKKernel: KernelFor<'top_k'> = {
  kind: 'dispatch',
  plan: ({ inputs: { x }, outs: [values, indices] }, { k }) => {
    const size = x!.shape.at(-1)!;
    const rows = sizeOf(x!.shape) / size;
    if (rows === 0) return { dispatches: [] };
    const ranking = {
      rows,
      size,
      inner: 1,
      count: k,
      element: x!.dtype,
      values: values ? 'out0' : null,
      indices: indices ? 'out1' : null,
    };
    return { dispatches: [rankDispatch(ranking)] };
  },
};
