import type { Node, OpNode, Tensor } from '../graph.ts';
import type { Program } from '../program.ts';
import { sizeOf } from '../shape.ts';
import { rootOf } from './values.ts';

/** Elementwise ops over one number of elements that run as one kernel; `outs` are those whose values others need. */
export interface FusedUnit {
  readonly kind: 'fused';
  readonly members: readonly OpNode[];
  readonly outs: readonly OpNode[];
}

/** An op with a kernel of its own. */
export interface KernelUnit {
  readonly kind: 'kernel';
  readonly node: OpNode;
}

/** What runs together. */
export type Unit = FusedUnit | KernelUnit;

/** Larger kernels take long to compile and gain little. */
const maxMembers = 48;

const isElementwise = (node: Node): node is OpNode => node.kind === 'op' && node.op.kernel.kind === 'elementwise';

/** Whether a tensor is one number known when the graph is built: it travels as a parameter, not in a buffer. */
export const isScalarConstant = ({ node }: Tensor): boolean =>
  node.kind === 'constant' && sizeOf(node.outs[0]!.shape) === 1;

const inputRoots = (node: OpNode): Tensor[] => node.inputs.flatMap((t) => (t ? [rootOf(t)] : []));

/** For each op, the ops that read it, through views; and the ops that outlive the run. */
const readersOf = (program: Program): { readonly readers: Map<Node, OpNode[]>; readonly pinned: Set<Node> } => {
  const readers = new Map<Node, OpNode[]>();
  for (const node of program.nodes) {
    if (node.op.kernel.kind === 'view') continue;
    for (const root of inputRoots(node))
      (readers.get(root.node) ?? readers.set(root.node, []).get(root.node)!).push(node);
  }
  const results = [...program.outputs.values(), ...program.updates.map(([, t]) => t)];
  return { readers, pinned: new Set(results.map((t) => rootOf(t).node)) };
};

/**
 * Groups elementwise ops greedily, in program order. A group runs where its last member stands, so an op may join the
 * groups of its operands as long as nothing outside has read them yet: then no order between kernels is broken.
 * Values are never computed twice. `maxBindings` is the number of buffers that a kernel may bind.
 */
export const fuse = (program: Program, maxBindings: number): Unit[] => {
  const { readers, pinned } = readersOf(program);
  const position = new Map(program.nodes.map((node, i) => [node, i]));
  const groupOf = new Map<OpNode, ReadonlySet<OpNode>>();
  const isOut = (node: OpNode, group: ReadonlySet<OpNode>): boolean =>
    pinned.has(node) || (readers.get(node) ?? []).some((r) => !group.has(r));

  const bindings = (group: ReadonlySet<OpNode>): number => {
    const loaded = new Map<string, Tensor>();
    for (const node of group)
      for (const root of inputRoots(node))
        if (!group.has(root.node as OpNode) && !isScalarConstant(root))
          loaded.set(`${root.node.id}.${root.index}`, root);
    return loaded.size + [...group].filter((node) => isOut(node, group)).length;
  };

  const mayRun = (group: ReadonlySet<OpNode>, at: number): boolean =>
    group.size <= maxMembers &&
    [...group].every((node) => (readers.get(node) ?? []).every((r) => group.has(r) || position.get(r)! > at)) &&
    bindings(group) <= maxBindings;

  /** The groups of operands that are read element by element, latest first. */
  const neighbours = (node: OpNode): ReadonlySet<OpNode>[] => {
    const size = sizeOf(node.outs[0]!.shape);
    const producers = inputRoots(node).flatMap((root) =>
      isElementwise(root.node) && sizeOf(root.shape) === size ? [root.node] : [],
    );
    return [...new Set(producers.sort((a, b) => b.id - a.id).map((n) => groupOf.get(n)!))];
  };

  for (const node of program.nodes) {
    if (!isElementwise(node)) continue;
    const at = position.get(node)!;
    const around = neighbours(node);
    const union = (parts: readonly ReadonlySet<OpNode>[]): Set<OpNode> =>
      new Set([...parts.flatMap((g) => [...g]), node]);
    let group = union(around);
    // Together they may hold what reads across them; if they don't fit together, as many as do.
    if (!mayRun(group, at)) {
      group = new Set([node]);
      for (const g of around) {
        const larger = new Set([...g, ...group]);
        if (mayRun(larger, at)) group = larger;
      }
    }
    for (const member of group) groupOf.set(member, group);
  }

  const units: Unit[] = [];
  for (const node of program.nodes) {
    const group = groupOf.get(node);
    if (node.op.kernel.kind === 'dispatch') units.push({ kind: 'kernel', node });
    if (!group || sizeOf(node.outs[0]!.shape) === 0) continue;
    const members = [...group].sort((a, b) => a.id - b.id);
    if (members.at(-1) === node) units.push({ kind: 'fused', members, outs: members.filter((m) => isOut(m, group)) });
  }
  return units;
};
