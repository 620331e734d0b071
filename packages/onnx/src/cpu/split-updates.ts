import type { Program, Tensor, Variable } from '@peftjs/tensor';
import type { Node, OpNode } from '@peftjs/tensor/executor';
import { adamwInPlace } from './adamw.ts';
import { adamw8bitInPlace } from './adamw8bit.ts';
import type { HostArray } from './storage.ts';

/** An optimiser's step that runs on the host, in place, after the graph. */
export interface HostStep {
  /** What it writes. */
  readonly state: readonly Variable[];
  readonly grad: Tensor;
  readonly hyper: Tensor;
  run(state: readonly HostArray[], grad: HostArray, hyper: HostArray): void;
}

/** The updates of a program, apart by who makes them. */
export interface SplitUpdates {
  readonly steps: readonly HostStep[];
  readonly rest: Program['updates'];
}

/** The ops that have such a step: which inputs their outputs are the new values of. */
const steppers: Readonly<Record<string, { readonly writes: readonly number[]; readonly run: HostStep['run'] }>> = {
  adamw: {
    writes: [0, 2, 3],
    run: ([weight, m, v], grad, hyper) => adamwInPlace(weight!, grad, m!, v!, hyper),
  },
  adamw8bit: {
    writes: [0, 2, 3, 4, 5],
    run: (state, grad, hyper) => adamw8bitInPlace(state as Parameters<typeof adamw8bitInPlace>[0], grad, hyper),
  },
};

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
    const stepper = steppers[node.op.name];
    if (!stepper || readElsewhere.has(node)) return [];
    const { writes, run } = stepper;
    const pairs = writers.get(node) ?? [];
    const inPlace =
      pairs.length === writes.length && pairs.every(([v, t]) => node.inputs[writes[t.index]!]?.node === v.node);
    return inPlace ? [stepOf(node, writes, run)] : [];
  });
  const written = new Set<Node>(steps.flatMap((s) => s.state.map((v) => v.node)));
  const sound = steps.filter((s) => !written.has(s.grad.node) && !written.has(s.hyper.node));
  const taken = new Set<Node>(sound.flatMap((s) => s.state.map((v) => v.node)));
  return { steps: sound, rest: program.updates.filter(([v]) => !taken.has(v.node)) };
};

const stepOf = ({ inputs }: OpNode, writes: readonly number[], run: HostStep['run']): HostStep => ({
  state: writes.map((i) => inputs[i] as Variable),
  grad: inputs[1]!,
  hyper: inputs.at(-1)!,
  run,
});
