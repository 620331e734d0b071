import { checkCopy } from './copy.ts';
import { applyCse } from './cse.ts';
import { PeftError } from './error.ts';
import type { ConstantNode, InputNode, Node, OpNode, Tensor, Variable } from './graph.ts';
import { isVariable, markWritten } from './graph.ts';
import { describe, sameShape } from './shape.ts';

/** The results of a program: outputs to read, and new values of variables. */
export interface ProgramSpec {
  /** Results by name. */
  readonly outputs?: Readonly<Record<string, Tensor>>;
  /** Variables and the values they take when a run ends; every value is made from the variables as they were before. */
  readonly updates?: readonly (readonly [Variable, Tensor])[];
}

/** A graph made ready for executors: pruned, each value computed once, in execution order. */
export interface Program {
  readonly inputs: readonly InputNode[];
  readonly constants: readonly ConstantNode[];
  readonly variables: readonly Variable[];
  /** Creation order: forward, then backward, then updates. */
  readonly nodes: readonly OpNode[];
  readonly outputs: ReadonlyMap<string, Tensor>;
  readonly updates: readonly (readonly [Variable, Tensor])[];
  /** Whether anything reads this output of a node. */
  isUsed(node: Node, index: number): boolean;
}

const reach = (roots: readonly Tensor[]): Node[] => {
  const seen = new Set<Node>();
  const stack = roots.map((t) => t.node);
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (node.kind === 'op') for (const t of node.inputs) if (t) stack.push(t.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
};

const checkSpec = ({ updates = [] }: ProgramSpec): void => {
  const seen = new Set<Node>();
  for (const [target, value] of updates) {
    if (!isVariable(target)) throw new PeftError('bad-program', 'updates: the first of each pair must be a variable');
    const { name } = target.node;
    if (!sameShape(target.shape, value.shape) || target.dtype !== value.dtype)
      throw new PeftError(
        'bad-program',
        `updates: variable ${name} holds ${describe(target)}, its new value is ${describe(value)}`,
      );
    if (seen.has(target.node)) throw new PeftError('bad-program', `updates: variable ${name} is updated twice`);
    seen.add(target.node);
  }
};

const checkNames = (inputs: readonly InputNode[]): void => {
  const twice = inputs.map((n) => n.name).filter((name, i, all) => all.indexOf(name) !== i);
  if (twice.length > 0)
    throw new PeftError('bad-program', `inputs: several are named ${[...new Set(twice)].join(', ')}`);
};

const checkCopies = (who: string, results: Iterable<Tensor>): void => {
  for (const { node } of results) checkCopy(who, node);
};

/** Throws `mixed-copies` for a program that was built by another copy of this package: executors call it before they compile. */
export const checkProgram = (who: string, { outputs, updates }: Program): void =>
  checkCopies(who, [...outputs.values(), ...updates.flat()]);

/**
 * Prunes, merges equal nodes and orders. Throws `bad-program` on updates that don't fit or input names used twice, `mixed-copies` for tensors of
 * another copy of this package.
 */
export const buildProgram = (spec: ProgramSpec): Program => {
  checkCopies('compile', [...Object.values(spec.outputs ?? {}), ...(spec.updates ?? []).flat()]);
  checkSpec(spec);
  markWritten((spec.updates ?? []).map(([v]) => v));
  const roots = [...Object.values(spec.outputs ?? {}), ...(spec.updates ?? []).flat()];
  const rewrite = applyCse(reach(roots));
  const outputs = new Map(Object.entries(spec.outputs ?? {}).map(([name, t]) => [name, rewrite(t)]));
  const updates = (spec.updates ?? []).map(([v, t]) => [v, rewrite(t)] as const);
  const results = [...outputs.values(), ...updates.map(([, t]) => t)];
  const live = reach([...results, ...updates.map(([v]) => v)]);
  const used = new Map<Node, Set<number>>();
  const use = (t: Tensor | null): void =>
    void (t && (used.get(t.node) ?? used.set(t.node, new Set()).get(t.node)!).add(t.index));
  for (const node of live) if (node.kind === 'op') node.inputs.forEach(use);
  results.forEach(use);
  const inputs = live.filter((n) => n.kind === 'input');
  checkNames(inputs);
  return {
    inputs,
    constants: live.filter((n) => n.kind === 'constant'),
    variables: live.filter((n) => n.kind === 'variable').map((node) => ({ ...node.outs[0]!, node, index: 0 })),
    nodes: live.filter((n) => n.kind === 'op'),
    outputs,
    updates,
    isUsed: (node, index) => used.get(node)?.has(index) ?? false,
  };
};
