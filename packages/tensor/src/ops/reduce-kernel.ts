import type { Kernel } from '../kernel.ts';
import { sizeOf, stridesOf } from '../shape.ts';
import type { ReduceAttrs } from './sum.ts';

/** How a reduction folds: the value it starts from, and the next `acc` from `acc` and `x`. */
export interface Fold {
  readonly start: string;
  readonly step: string;
}

/** One invocation per output element, walking the reduced axes. */
export const reduceKernel = ({ start, step }: Fold): Kernel<'x', ReduceAttrs> => ({
  kind: 'dispatch',
  plan: ({ inputs: { x } }, { axes }) => {
    const shape = x!.shape;
    const strides = stridesOf(shape);
    const kept = shape.flatMap((_, i) => (axes.includes(i) ? [] : [i]));
    const walk = (index: string, over: readonly number[]): string => {
      let stride = 1;
      const terms = [...over].reverse().map((axis) => {
        const term = `((${index} / ${stride}u) % ${shape[axis]}u) * ${strides[axis]}u`;
        stride *= shape[axis]!;
        return term;
      });
      return terms.join(' + ') || '0u';
    };
    const outputs = sizeOf(kept.map((i) => shape[i]!));
    const reduced = sizeOf(axes.map((i) => shape[i]!));
    const wgsl = `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= ${outputs}u) { return; }
  let base = ${walk('i', kept)};
  var acc = ${start};
  for (var j = 0u; j < ${reduced}u; j++) {
    let x = x[base + ${walk('j', axes)}];
    acc = ${step};
  }
  out0[i] = acc;
}`;
    return {
      dispatches: [
        {
          wgsl,
          bindings: [
            { buffer: 'x', access: 'read', element: 'f32' },
            { buffer: 'out0', access: 'read_write', element: 'f32' },
          ],
          workgroups: Math.ceil(outputs / 64),
        },
      ],
    };
  },
});
