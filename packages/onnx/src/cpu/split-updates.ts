import type { Program, Tensor, Variable } from '@peftjs/tensor';
import type { Node, OpNode } from '@peftjs/tensor/executor';

/** An AdamW step that runs on the host, in place, after the graph. */
export interface HostAdamw {
  readonly weight: Variable;
  readonly m: Variable;
  readonly v: Variable;
  readonly grad: Tensor;
  readonly hyper: Tensor;
}

/** The updates of a program, apart by who makes them. */
export interface SplitUpdates {
  readonly steps: readonly HostAdamw[];
  readonly rest: Program['updates'];
}

/**
 * Takes the AdamW steps out of a program's updates where they only write their own three variables. As ONNX they would be fifteen passes
 * over memory per parameter and a second copy of weights and moments; on the host they are one pass in place (adamw.ts).
 */
export const splitUpdates = (program: Program): SplitUpdates => {
  const readElsewhere = new Set<Node>(
    [
      ...program.nodes.flatMap((n) => n.inputs.map((t) => t?.node)),
      ...[...program.outputs.values()].map((t) => t.node),
    ].filter((n) => n !== undefined),
  );
  const writers = new Map<Node, (readonly [Variable, Tensor])[]>();
  for (const pair of program.updates)
    (writers.get(pair[1].node) ?? writers.set(pair[1].node, []).get(pair[1].node)!).push(pair);
  const steps = program.nodes.flatMap((node) => {
    const pairs = writers.get(node) ?? [];
    const inPlace = pairs.length === 3 && pairs.every(([v, t]) => node.inputs[[0, 2, 3][t.index]!]?.node === v.node);
    return node.op.name === 'adamw' && inPlace && !readElsewhere.has(node) ? [step(node)] : [];
  });
  const written = new Set<Node>(steps.flatMap((s) => [s.weight.node, s.m.node, s.v.node]));
  const sound = steps.filter((s) => !written.has(s.grad.node) && !written.has(s.hyper.node));
  const taken = new Set<Node>(sound.flatMap((s) => [s.weight.node, s.m.node, s.v.node]));
  return { steps: sound, rest: program.updates.filter(([v]) => !taken.has(v.node)) };
};

const step = ({ inputs: [weight, grad, m, v, hyper] }: OpNode): HostAdamw =>
  ({ weight, grad, m, v, hyper }) as HostAdamw;
