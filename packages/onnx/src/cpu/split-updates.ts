import type { Program, Tensor, Variable } from '@peftjs/tensor';
import type { Node, OpNode } from '@peftjs/tensor/executor';
import { type HostStepName, hasHostStep, hostSteps } from './host-steps.ts';

/** An optimiser's step that runs on the host, in place, after the graph. */
interface UpdateStep {
  readonly op: HostStepName;
  /** The variables that it writes. */
  readonly state: readonly Variable[];
  readonly grad: Tensor;
  readonly hyper: Tensor;
}

/** The updates of a program, apart by who makes them. */
export interface SplitUpdates {
  readonly steps: readonly UpdateStep[];
  readonly rest: Program['updates'];
}

/**
 * Takes the optimiser's steps out of a program's updates where they only write their own variables. As ONNX they would be fifteen passes
 * over memory per parameter and a second copy of weights and moments; on the host they are one pass in place (adamw.ts, adamw8bit.ts).
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
    const { name } = node.op;
    if (!hasHostStep(name) || readElsewhere.has(node)) return [];
    const { writes } = hostSteps[name];
    const pairs = writers.get(node) ?? [];
    const inPlace =
      pairs.length === writes.length && pairs.every(([v, t]) => node.inputs[writes[t.index]!]?.node === v.node);
    return inPlace ? [stepOf(node, name)] : [];
  });
  const written = new Set<Node>(steps.flatMap((s) => s.state.map((v) => v.node)));
  const sound = steps.filter((s) => !written.has(s.grad.node) && !written.has(s.hyper.node));
  const taken = new Set<Node>(sound.flatMap((s) => s.state.map((v) => v.node)));
  return { steps: sound, rest: program.updates.filter(([v]) => !taken.has(v.node)) };
};

const stepOf = ({ inputs }: OpNode, op: HostStepName): UpdateStep => ({
  op,
  state: hostSteps[op].writes.map((i) => inputs[i] as Variable),
  grad: inputs[1]!,
  hyper: inputs.at(-1)!,
});
