import type { Spec } from '@peftjs/tensor';
import { matmulSizes } from '@peftjs/tensor/executor';
import type { KernelFor } from './kernel-for.ts';
import { batchAxes } from './matmul-batch.ts';
import { frozenPlan } from './matmul-frozen.ts';
import { matmulPlan } from './matmul-plan.ts';

export const matmulKernel: KernelFor<'matmul'> = {
  kind: 'dispatch',
  emits: true,
  plan: ({ inputs: { a, b }, outs: [out] }, attrs, device) => {
    const { m, n, k } = matmulSizes({ a: a!, b: b! }, attrs);
    const axes = batchAxes(a!, b!, out!.shape.slice(0, -2));
    // One matrix on the right of many rows: the batch is only more rows.
    const flat = !attrs.transposeA && axes.sizes.length === 1 && axes.b[0] === 0 && axes.a[0] === m * k;
    const sideOf = (name: 'a' | 'b', { dtype }: Spec, transposed = false, batchStrides: readonly number[]) => ({
      buffer: name,
      half: dtype === 'f16',
      transposed,
      batchStrides,
    });
    const batch = flat ? { sizes: [], a: [], b: [] } : axes;
    const problem = {
      m: flat ? m * axes.sizes[0]! : m,
      n,
      k,
      batch: batch.sizes,
      a: sideOf('a', a!, attrs.transposeA, batch.a),
      b: sideOf('b', b!, attrs.transposeB, batch.b),
      out: 'out0',
    };
    // Weights are kept in f16 where they are frozen.
    return a!.dtype === 'f32' && b!.dtype === 'f16' ? frozenPlan(problem, a!, device) : matmulPlan(problem, device);
  },
};
