import { sizeOf } from '@peftjs/tensor';
import type { Kernel } from '../kernel.ts';
import { lowest, rowDispatch } from './rows.ts';

/** A kernel that normalises each row by its maximum and the sum of exponentials: `value` is WGSL of `x`, `top` and `total`. */
export const softmaxKernel = (value: string): Kernel<'x', void> => ({
  kind: 'dispatch',
  plan: ({ inputs }, _, device) => {
    const { shape } = inputs.x!;
    const width = shape.at(-1)!;
    const body = `
  let base = row * p.width;
  var top = ${lowest};
  for (var j = first; j < p.width; j += step) { top = max(top, x[base + j]); }
  top = row_max(top, lane);
  var total = 0.0;
  for (var j = first; j < p.width; j += step) { total += exp(x[base + j] - top); }
  total = row_sum(total, lane);
  for (var j = first; j < p.width; j += step) {
    let x = x[base + j];
    out0[base + j] = ${value};
  }`;
    const bindings = [
      { buffer: 'x', access: 'read', element: 'f32' },
      { buffer: 'out0', access: 'read_write', element: 'f32' },
    ] as const;
    return {
      dispatches: [rowDispatch({ rows: width === 0 ? 0 : sizeOf(shape) / width, width, bindings, body }, device)],
    };
  },
});
