import { type Program, sizeOf, type Tensor } from '@peftjs/tensor';
import type { Node, OpNode } from '@peftjs/tensor/executor';
import { kernelOf } from '../kernel-of.ts';
import { rootOf } from './values.ts';

/** Whether a node's kernel is an expression of single elements. */
export const isElementwise = (node: Node): node is OpNode =>
  node.kind === 'op' && kernelOf(node.op).kind === 'elementwise';

/** Whether a tensor is one number known when the graph is built: it travels as a parameter, not in a buffer. */
export const isScalarConstant = ({ node }: Tensor): boolean =>
  node.kind === 'constant' && sizeOf(node.outs[0]!.shape) === 1;

/** Who reads what in a program, views and inlined ops apart. */
export interface Readers {
  /** The tensors in memory that an op reads; lone constants are none. */
  inputsOf(node: OpNode): readonly Tensor[];
  readersOf(node: OpNode): readonly OpNode[];
  /** Whether a node's value is needed beyond a set of nodes. */
  isOut(node: OpNode, within: ReadonlySet<OpNode>): boolean;
  /**
   * Whether an op is computed by each that reads it: a short expression of one tensor whose readers all are expressions too. To store it
   * would take as much memory as to keep what it is made of, and one more pass of writing and reading.
   */
  isInlined(node: Node): boolean;
  /** The ops that compute an inlined op for themselves. */
  sharing(inlined: OpNode): readonly OpNode[];
  /** The inlined ops that an op computes for itself. */
  inlinedInto(node: OpNode): readonly OpNode[];
}

/** Ops that are computed again for one inlined value, at most. */
const maxCost = 12;

const sizeOfOut = (node: OpNode): number => sizeOf(node.outs[0]!.shape);

const directInputs = (node: OpNode): Tensor[] =>
  node.inputs.flatMap((t) => {
    const root = t && rootOf(t);
    return root && !isScalarConstant(root) ? [root] : [];
  });

/** Looks up who reads what. */
export const readersOf = (program: Program): Readers => {
  const direct = new Map<Node, OpNode[]>();
  const add = (map: Map<Node, OpNode[]>, key: Node, node: OpNode): void =>
    void (map.get(key) ?? map.set(key, []).get(key)!).push(node);
  for (const node of program.nodes)
    if (kernelOf(node.op).kind !== 'view') for (const root of directInputs(node)) add(direct, root.node, node);
  const results = [...program.outputs.values(), ...program.updates.map(([, t]) => t)];
  const pinned = new Set(results.map((t) => rootOf(t).node));

  const inlined = new Map<Node, { readonly root: string; readonly cost: number }>();
  for (const node of program.nodes) {
    if (!isElementwise(node) || pinned.has(node)) continue;
    const readers = direct.get(node) ?? [];
    const inputs = directInputs(node);
    const roots = new Set(inputs.map((t) => inlined.get(t.node)?.root ?? `${t.node.id}.${t.index}`));
    const cost = inputs.reduce((n, t) => n + (inlined.get(t.node)?.cost ?? 0), 1);
    const alike = (n: OpNode): boolean => sizeOfOut(n) === sizeOfOut(node);
    if (
      roots.size === 1 &&
      cost <= maxCost &&
      readers.length > 0 &&
      readers.every((r) => isElementwise(r) && alike(r)) &&
      inputs.every((t) => sizeOf(t.shape) === sizeOfOut(node))
    )
      inlined.set(node, { root: [...roots][0]!, cost });
  }

  const known = new Map<OpNode, readonly Tensor[]>();
  const inputsOf = (node: OpNode): readonly Tensor[] => {
    const found = known.get(node);
    if (found) return found;
    const inputs = directInputs(node).flatMap((t) => (inlined.has(t.node) ? inputsOf(t.node as OpNode) : [t]));
    known.set(node, inputs);
    return inputs;
  };
  const readers = new Map<Node, OpNode[]>();
  for (const node of program.nodes)
    if (kernelOf(node.op).kind !== 'view' && !inlined.has(node))
      for (const source of new Set(inputsOf(node).map((t) => t.node))) add(readers, source, node);

  const inlinedInto = (node: OpNode): OpNode[] =>
    directInputs(node).flatMap((t) => {
      const from = t.node as OpNode;
      return inlined.has(from) ? [...inlinedInto(from), from] : [];
    });
  const inlinedReaders = (node: OpNode): OpNode[] =>
    (direct.get(node) ?? []).flatMap((r) => (inlined.has(r) ? inlinedReaders(r) : [r]));
  return {
    inputsOf,
    readersOf: (node) => readers.get(node) ?? [],
    isOut: (node, within) => pinned.has(node) || (readers.get(node) ?? []).some((r) => !within.has(r)),
    isInlined: (node) => inlined.has(node),
    inlinedInto,
    sharing: inlinedReaders,
  };
};
