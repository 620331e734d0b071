import { byName } from './define-op.ts';
import type { OpNode } from './graph.ts';
import type { Program } from './program.ts';
import { sizeOf } from './shape.ts';

type Flops = (specs: unknown, attrs: unknown, isUsed: (output: number) => boolean) => number;

/** Floating-point operations of one node, for the outputs that are read in a program. */
export const nodeFlops = (node: OpNode, { isUsed }: Pick<Program, 'isUsed'>): number => {
  const { op, inputs, outs, attrs } = node;
  const flops = op.flops as Flops | undefined;
  if (!flops) return sizeOf(outs[0]!.shape);
  return flops({ ...byName(op, inputs), out: outs[0], outs }, attrs, (i) => isUsed(node, i));
};

/** Floating-point operations of one run of a program. */
export const flopsOf = (program: Program): number => program.nodes.reduce((n, node) => n + nodeFlops(node, program), 0);
