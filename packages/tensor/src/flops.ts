import { byName } from './define-op.ts';
import type { OpNode } from './graph.ts';
import type { Program } from './program.ts';
import { sizeOf } from './shape.ts';

/** Floating-point operations of one node. */
export const nodeFlops = ({ op, inputs, outs, attrs }: OpNode): number => {
  if (op.kernel.kind === 'view') return 0;
  const flops = op.flops as ((specs: unknown, attrs: unknown) => number) | undefined;
  return flops ? flops({ ...byName(op, inputs), out: outs[0], outs }, attrs) : sizeOf(outs[0]!.shape);
};

/** Floating-point operations of one run of a program. */
export const flopsOf = (program: Program): number => program.nodes.reduce((n, node) => n + nodeFlops(node), 0);
